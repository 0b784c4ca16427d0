"""Choose what views keep so that the real module follows, and drop the units that fail."""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable, Generic, TypeVar

import numpy as np
import torch
from torch import nn

from .choices import telling_choices
from .data import GraphData
from .evidence import Evidence
from .flow import FREEZE
from .parts import PARTS, halves, part_of, slim
from .predict import Mismatch, units_alike
from .proof import Prover, SlimProver
from .units import ChannelUnit

Policy = Mapping[tuple, int]  # split signature -> axis
Graph = TypeVar('Graph', bound=GraphData)


def verified(graph: Graph, build: Callable[[Policy], Graph]) -> Graph:
    """Choose the axis of every split so that the real module follows, then drop what fails.

    Args:
        graph: The graph under the empty policy.
        build: Makes the graph of a policy: split signature -> the axis that is kept, or `FREEZE`.

    Returns:
        The graph of the best policy, without the units that the real module does not follow.
    """
    prover = Prover(graph.model, graph)
    search = _Search(graph, build, prover)
    tried: dict[tuple, int] = {}  # signature -> number of its candidate
    while True:
        chosen = {}
        for signature in search.stuck(search.graph.splits):
            candidates = (*search.graph.splits[signature], FREEZE)
            number = tried[signature] = tried.get(signature, 0) + 1
            if number < len(candidates):
                chosen[signature] = candidates[number]
        if not chosen:
            break
        search.attempt(chosen)
    graph, failed = search.graph, search.failed
    graph.drop(failed)
    prover.graph = graph
    graph.drop(unproved(prover, graph.units))
    return graph


class _Search(Generic[Graph]):
    """The best policy so far, its graph, and the units of it that the module does not follow."""

    def __init__(self, graph: Graph, build: Callable[[Policy], Graph], prover: Prover) -> None:
        self.graph, self.policy = graph, dict[tuple, int]()
        self.failed = unfollowed(prover, graph.units)
        self._build, self._prover = build, prover

    def stuck(self, signatures: Iterable[tuple]) -> list[tuple]:
        """Return the splits whose channels the module does not follow."""
        return [signature for signature in signatures
                if _stuck(self.graph, signature, self.failed)]

    def attempt(self, chosen: Policy) -> None:
        """Try another axis for several splits at once, and take those that come free by it.

        Args:
            chosen: Signature of a split -> the axis that is tried, or `FREEZE`.
        """
        policy = {**self.policy, **chosen}
        graph = self._prover.graph = self._build(policy)
        worth, failed = _worth(self.graph, self.failed), dict[str, str]()
        freed, better = list(chosen), _worth(graph, failed) > worth
        for quick in (True, False):  # most attempts fail at once
            if better and len(freed) == len(chosen):
                failed = unfollowed(self._prover, graph.units, quick)
                freed = [signature for signature in chosen
                         if not _stuck(graph, signature, failed)]
                better = _worth(graph, failed) > worth
        if 0 < len(freed) < len(chosen):
            self.attempt({signature: chosen[signature] for signature in freed})
        elif better:
            self.graph, self.policy, self.failed = graph, policy, failed
        elif len(freed) > 1:
            for signature in freed:
                self.attempt({signature: chosen[signature]})


def _stuck(graph: GraphData, signature: tuple[int, ...], failed: Mapping[str, str]) -> bool:
    """Whether the channels of a split are frozen, or in units the module does not follow."""
    axes = [site.axis for site in graph.flow.sites if site.signature == signature]
    if not axes:
        return True
    found = np.unique(np.concatenate([graph.flow.ids.elements(axis) for axis in axes]))
    return not graph.units_in(found).isdisjoint(failed)


def _worth(graph: GraphData, failed: Mapping[str, str]) -> tuple[int, int]:
    """Channels that can be pruned and were proved, then parameters each of them saves."""
    good = [unit for unit in graph.units if unit.name not in failed]
    return (sum(unit.params_per_channel * unit.num_channels for unit in good),
            sum(unit.num_channels for unit in good))


def unfollowed(prover: Prover, units: Sequence[ChannelUnit], quick: bool = False
               ) -> dict[str, str]:
    """Find the units whose sizes the real module does not follow, from traces alone.

    The units in the first dimension that is not as predicted are dropped, until the rest holds.

    Args:
        prover: It slices and traces the module.
        units: The units in question.
        quick: Find most of them, by one choice of channels.

    Returns:
        Unit name -> reason.
    """
    failed: dict[str, str] = {}
    whole, _ = _limits(prover.graph)  # else each slim copy is traced as well
    for keep in telling_choices(units)[:1 if quick else 4 if whole else 2]:
        names = [name for name in keep if name not in failed]
        failed.update(_failing(prover.mismatch, names, keep, prover.graph, quick))
    return failed


#: What is proved on the whole model only: multiply-accumulates and parameters at most.
WHOLE = (4e9, 1e8)
#: What is compared once on the whole model, and else on slim copies.
ONCE = (25e9, 1e8)


def unproved(prover: Prover, units: Sequence[ChannelUnit]) -> dict[str, str]:
    """Find the units for which masked and sliced outputs differ, or that no output depends on.

    A large model is compared once, a very large one never; both are proved on slim copies that
    together have every channel. The graph gets the evidence.

    Args:
        prover: Of the whole model and its graph.
        units: The units of that graph.

    Returns:
        Unit name -> reason.
    """
    graph = prover.graph
    whole, once = _limits(graph)
    failed: dict[str, str] = {}
    if whole:
        failed.update(_idle(prover, units))
        for keep in telling_choices(units):
            names = [name for name in keep if name not in failed]
            failed.update(_failing(prover.failure, names, keep, graph))
        graph.evidence = Evidence(prover.compared, 0, prover.error)
        return failed
    error = 0.0
    for number in range(PARTS):
        keep = part_of(units, number)
        names = [name for name in keep if name not in failed]
        check = prover.failure if once and number == 0 else prover.mismatch
        failed.update(_failing(check, names, keep, graph))
        left = [unit for unit in units if unit.name not in failed]
        copy = SlimProver(*_slim(graph, left, keep))
        if number == 0:
            failed.update(_idle(copy, copy.units))
        for half in halves(copy.units, number):
            names = [name for name in half if name not in failed]
            failed.update(_failing(copy.difference, names, half, graph))
        error = max(error, copy.error)
    graph.evidence = Evidence(prover.compared, PARTS, max(error, prover.error))
    return failed


def _limits(graph: GraphData) -> tuple[bool, bool]:
    """Whether a model is proved on the whole, and whether it is compared once on the whole."""
    size = graph.total_macs, graph.total_params
    return (all(a <= b for a, b in zip(size, WHOLE)), all(a <= b for a, b in zip(size, ONCE)))


def _slim(graph: GraphData, units: Sequence[ChannelUnit], keep: Mapping[str, torch.Tensor]
          ) -> tuple[nn.Module, GraphData, list[ChannelUnit]]:
    shapes = [graph.program.shapes[number] for number in graph.program.outputs]
    model, small = slim(graph.model, units, keep, shapes)
    return model, graph, small


def _idle(prover: Prover, units: Sequence[ChannelUnit]) -> dict[str, str]:
    idle = prover.idle(units)
    if idle:  # other weights may wake them
        idle = prover.other(seed=1).idle(idle)
    return {unit.name: 'masking it changes no output, so nothing can be proved of it'
            for unit in idle}


#: So often an operator of one source line fails before the other units that pass it are doubted.
STRIKES = 2
#: So many of those may fail before the rest of them is tried by halves.
DOUBTS = 4


def _failing(check: Callable[[Mapping[str, torch.Tensor]], Mismatch | None],
             names: Sequence[str], keep: Mapping[str, torch.Tensor], graph: GraphData,
             quick: bool = False) -> dict[str, str]:
    """Return the units that fail, with reasons, so that the check holds for the rest.

    Where the check does not name units, the first that breaks it is found by bisection. A line
    of code that failed twice fails in most modules that run it, so that the other units which
    pass it are set aside together. Those with which the check does not hold after `DOUBTS` more
    failures, not even with one half of them, are refused with the rest of the line: a few traces
    for each line, however many modules run it. If it has to be quick all of them are.
    """

    def failure(chosen: Sequence[str]) -> Mismatch | None:
        return check({name: keep[name] for name in chosen})

    def acquitted(doubted: Sequence[str]) -> list[str]:
        """Return those with which the check holds: all but a few, else one half of the others."""
        left = list(doubted)
        for _ in range(DOUBTS):
            mismatch = failure([*rest, *left])
            if mismatch is None:
                return left
            if mismatch.units.isdisjoint(left):
                return []
            left = [name for name in left if name not in mismatch.units]
        middle = len(left) // 2
        return next((half for half in (left[:middle], left[middle:])
                     if half and failure([*rest, *half]) is None), [])

    rest, failed = list(names), dict[str, str]()
    strikes: Counter[tuple[str, str]] = Counter()
    aside: dict[tuple[str, str], dict[str, str]] = {}
    while True:
        mismatch = failure(rest) if rest else None
        if mismatch is None:
            if not aside:
                return failed
            _, doubted = aside.popitem()
            good = [] if quick else acquitted(list(doubted))
            rest += good
            failed.update((name, text) for name, text in doubted.items() if name not in good)
            continue
        blamed = [name for name in rest if name in mismatch.units]
        if not blamed:
            low, high = 0, len(rest)  # rest[:low] holds, rest[:high] fails
            while high - low > 1:
                middle = (low + high) // 2
                found = failure(rest[:middle])
                if found is None:
                    low = middle
                else:
                    high, mismatch = middle, found
            blamed = [rest[low]]
        for name in blamed:
            rest.remove(name)
            failed[name] = mismatch.text
        if mismatch.place is not None:
            strikes[mismatch.place] += 1
            if strikes[mismatch.place] == STRIKES:
                alike = units_alike(graph, mismatch, rest)
                aside[mismatch.place] = dict.fromkeys(alike, mismatch.text)
                rest = [name for name in rest if name not in aside[mismatch.place]]
