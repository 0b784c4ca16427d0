"""Choose what views keep so that the real module follows, and drop the units that fail."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, TypeVar

import numpy as np

from .data import GraphData
from .flow import FREEZE
from .proof import Prover, unfollowed, unproved

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
