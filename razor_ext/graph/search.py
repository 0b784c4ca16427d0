"""Choose what views keep so that the real module follows, and drop the units that fail."""
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, TypeVar

import numpy as np
import torch

from .choices import telling_choices
from .data import GraphData
from .flow import FREEZE
from .predict import Mismatch
from .proof import Prover
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
    policy: dict[tuple[int, ...], int] = {}
    prover = Prover(graph.model, graph)
    failed = unfollowed(prover, graph.units)
    for signature, candidates in graph.splits.items():
        if not _stuck(graph, signature, failed):
            continue
        for choice in (*candidates[1:], FREEZE):
            trial_policy = {**policy, signature: choice}
            prover.graph = trial = build(trial_policy)
            if _worth(trial, {}) <= _worth(graph, failed):
                continue
            trial_failed = unfollowed(prover, trial.units)
            if _worth(trial, trial_failed) > _worth(graph, failed):
                graph, failed, policy = trial, trial_failed, trial_policy
    graph.drop(failed)
    prover.graph = graph
    graph.drop(unproved(prover, graph.units))
    return graph


def _stuck(graph: GraphData, signature: tuple[int, ...], failed: Mapping[str, str]) -> bool:
    """Whether the channels of a split are frozen, or in units the module does not follow."""
    axes = [site.axis for site in graph.flow.sites if site.signature == signature]
    if not axes:
        return True
    found = np.unique(np.concatenate([graph.flow.ids.elements(axis) for axis in axes]))
    return any(np.isin(roots, found).any()
               for unit, roots in zip(graph.units, graph.roots) if unit.name in failed)


def _worth(graph: GraphData, failed: Mapping[str, str]) -> tuple[int, int]:
    """Channels that can be pruned and were proved, then parameters each of them saves."""
    good = [unit for unit in graph.units if unit.name not in failed]
    return (sum(unit.params_per_channel * unit.num_channels for unit in good),
            sum(unit.num_channels for unit in good))


def unfollowed(prover: Prover, units: Sequence[ChannelUnit]) -> dict[str, str]:
    """Find the units whose sizes the real module does not follow, from traces alone.

    The units in the first dimension that is not as predicted are dropped, until the rest holds.

    Returns:
        Unit name -> reason.
    """
    failed: dict[str, str] = {}
    for keep in telling_choices(units):
        names = [name for name in keep if name not in failed]
        failed.update(_failing(prover.mismatch, names, keep))
    return failed


def unproved(prover: Prover, units: Sequence[ChannelUnit]) -> dict[str, str]:
    """Find the units for which masked and sliced outputs differ, or that no output depends on.

    Returns:
        Unit name -> reason.
    """
    idle = prover.idle(units)
    if idle:  # other weights may wake them
        idle = Prover(prover.graph.model, prover.graph, seed=1).idle(idle)
    failed = {unit.name: 'masking it changes no output, so nothing can be proved of it'
              for unit in idle}
    for keep in telling_choices(units):
        names = [name for name in keep if name not in failed]
        failed.update(_failing(prover.failure, names, keep))
    return failed


def _failing(check: Callable[[Mapping[str, torch.Tensor]], Mismatch | None],
             names: Sequence[str], keep: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, str]]:
    """Yield units, with reasons, until the check holds for the rest.

    Where the check does not name units, the first that breaks it is found by bisection.
    """

    def failure(chosen: Sequence[str]) -> Mismatch | None:
        return check({name: keep[name] for name in chosen})

    rest = list(names)
    while rest:
        mismatch = failure(rest)
        if mismatch is None:
            return
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
            yield name, mismatch.text
