"""Targets from the `target` setting of an algorithm."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from .bops import BopsCost, BopsTarget
from .costs import StructureCosts
from .latency import latency_cost
from .mutator import GraphMutator
from .targets import CostTarget, SparsityTarget, Target


class Costed(Protocol):
    """What a target needs to know of an algorithm."""

    architecture: nn.Module
    mutator: GraphMutator

    def most_bits(self) -> dict[str, dict[str, float]]:
        """Return the most bits of the quantized sides of each layer."""

    def fewest_bits(self) -> dict[str, dict[str, float]]:
        """Return the fewest bits of the quantized sides of each layer."""

    def expected_bits(self) -> dict[str, dict[str, float]]:
        """Return the bits of the quantized sides of each layer that the run now leads to."""


#: Arguments of CostTarget that a config may give.
_COST_OPTIONS = ('per_cost', 'give_back', 'uniform')


@dataclass(frozen=True)
class TargetKind:
    """A value of `target.kind`.

    Attributes:
        build: makes the target of (algorithm, ratio, options).
        options: what `target` takes besides `kind` and `ratio`.
    """

    build: Callable[[Costed, float, dict[str, Any]], Target]
    options: tuple[str, ...] = _COST_OPTIONS


def _sparsity(algorithm: Costed, ratio: float, options: dict[str, Any]) -> Target:
    return SparsityTarget(ratio, **options)


def _macs(algorithm: Costed, ratio: float, options: dict[str, Any]) -> Target:
    return CostTarget(ratio, algorithm.mutator.graph.macs, **options)


def _params(algorithm: Costed, ratio: float, options: dict[str, Any]) -> Target:
    return CostTarget(ratio, algorithm.mutator.graph.params, **options)


def _bops(algorithm: Costed, ratio: float, options: dict[str, Any]) -> Target:
    cost = BopsCost(StructureCosts(algorithm.architecture, algorithm.mutator),
                    algorithm.expected_bits)
    return BopsTarget(ratio, cost, algorithm.mutator.graph.total_macs * 1024.,
                      algorithm.fewest_bits(), **options)


def _latency(algorithm: Costed, ratio: float, options: dict[str, Any]) -> Target:
    table = options.pop('table')
    cost, reference = latency_cost(algorithm.architecture, algorithm.mutator, table,
                                   algorithm.most_bits())
    return CostTarget(ratio, cost, reference=reference, **options)


#: Kinds of targets by name.
TARGETS: Mapping[str, TargetKind] = {
    'sparsity': TargetKind(_sparsity, ('on_unreachable', 'per_unit')),
    'macs': TargetKind(_macs), 'params': TargetKind(_params), 'bops': TargetKind(_bops),
    'latency': TargetKind(_latency, ('table', *_COST_OPTIONS)),
}


def check_target_config(target: Mapping[str, Any] | None, quantized: bool) -> None:
    """Refuse a `target` that says too little or what nothing reads.

    Args:
        target: the setting; None prunes nothing.
        quantized: whether the algorithm has quantizers.

    Raises:
        ValueError: it names the setting and what is known.
    """
    if target is None:
        return
    kind = TARGETS.get(target.get('kind', ''))
    known = kind.options if kind else ()
    if kind is None or set(target) - {'kind', 'ratio', *known} or 'ratio' not in target:
        raise ValueError(f'target={dict(target)}: give kind (one of {", ".join(TARGETS)}) and '
                         f'ratio, and {", ".join(known) or "what it takes"} if needed')
    if target['kind'] == 'latency' and 'table' not in target:
        raise ValueError("target kind='latency' without table: set table to the latency file of "
                         'this model, which tools/analysis/latency_table.py measures')
    if target['kind'] == 'bops' and not quantized:
        raise ValueError("target kind='bops' without quant: without quantizers BOPs are MACs times "
                         "1024; set quant, or kind='macs'")


def build_target(algorithm: Costed, target: Mapping[str, Any] | None,
                 defaults: Mapping[str, Any]) -> Target | None:
    """Make the target of an algorithm.

    Args:
        algorithm: its model and units are built.
        target: the setting, checked.
        defaults: options that the algorithm sets unless `target` does.
    """
    if target is None:
        return None
    options = dict(target)
    kind, ratio = TARGETS[options.pop('kind')], options.pop('ratio')
    own = {key: value for key, value in defaults.items() if key in kind.options}
    return kind.build(algorithm, ratio, {**own, **options})
