"""GroupFisher over the dependency graph: configs of the tiny RTMPose and of other models."""
from __future__ import annotations

from pathlib import Path

from tiny_geta import SHAPE
from tiny_pose import tiny_rtmpose

HOOKS = (dict(type='mmrazor.PruningStructureHook'),
         dict(type='mmrazor.GroupFisherExportHook'))


def graph_fisher(architecture: dict | None = None, dense: Path | None = None,
                 **overrides: object) -> dict:
    """Return the config of a GroupFisher algorithm over the graph, by default of a tiny RTMPose.

    Args:
        architecture: another model.
        dense: checkpoint to start from.
        overrides: of the algorithm; `mutator` is merged.
    """
    architecture = architecture or tiny_rtmpose()
    if dense is not None:
        architecture['init_cfg'] = dict(type='Pretrained', checkpoint=str(dense))
    mutator = dict(type='GraphGroupFisherMutator', demo_input=SHAPE)
    mutator.update(overrides.pop('mutator', {}))
    return dict(dict(_scope_='mmrazor', type='GroupFisherAlgorithm', architecture=architecture,
                     interval=1, mutator=mutator), **overrides)


def graph_hooks(*thresholds: float) -> tuple[dict, ...]:
    """Return the hooks of a pruning run over the graph."""
    resource = dict(type='mmrazor.ResourceInfoHook', interval=1, save_ckpt_thr=list(thresholds))
    return (HOOKS[0], resource, HOOKS[1])
