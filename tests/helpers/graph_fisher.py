"""GroupFisher over the dependency graph: configs of the tiny RTMPose and of other models."""
from __future__ import annotations

from pathlib import Path

from tiny_geta import SHAPE
from tiny_pose import tiny_rtmpose

HOOKS = (dict(type='mmrazor.PruningHook', interval=2), )


def graph_fisher(architecture: dict | None = None, dense: Path | None = None,
                 ratio: float | None = None, end: float = 0.9, **overrides: object) -> dict:
    """Return the config of a GroupFisher algorithm over the graph, by default of a tiny RTMPose.

    Args:
        architecture: another model.
        dense: checkpoint to start from.
        ratio: share of the MACs to leave; None prunes a channel at every interval.
        end: share of the run by which it is met.
        overrides: of the algorithm.
    """
    target = None if ratio is None else dict(kind='macs', ratio=ratio)
    return dict(dict(
        type='mmrazor.GroupFisher', architecture=architecture or tiny_rtmpose(),
        checkpoint=None if dense is None else str(dense), demo_input=SHAPE, target=target,
        schedule=dict(begin=0., end=end, interval=1)), **overrides)
