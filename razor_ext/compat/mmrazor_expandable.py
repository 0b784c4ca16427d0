"""MMRazor's expandable operators, which pad a pruned model to a divisor."""
from __future__ import annotations

import functools
import importlib
import inspect
import types
from typing import Any

from torch import nn

from .repair import RepairSpec

_EXPANDABLE = 'mmrazor.models.utils.expandable_utils'


def _replaces(unit_class: Any, module: nn.Module) -> bool:
    """Return whether a unit of this class replaces a module by a dynamic one."""
    model = nn.Sequential(module)
    unit = types.SimpleNamespace(
        input_related=[types.SimpleNamespace(name='0', module=module)], output_related=[],
        mutable_channel=None, _register_channel_container=lambda *args: None,
        _register_mutable_channel=lambda *args: None)
    unit._replace_with_dynamic_ops = functools.partial(unit_class._replace_with_dynamic_ops, unit)
    unit_class.prepare_for_pruning(unit, model)
    return model[0] is not module


def make_sync_batch_norm_class() -> type:
    """Return the expandable operator of SyncBatchNorm, which MMRazor lacks."""
    from mmrazor.models.architectures.dynamic_ops import DynamicSyncBatchNorm
    from mmrazor.models.utils.expandable_utils.ops import ExpandableBatchNorm2d, ExpandableMixin

    class ExpandableSyncBatchNorm(DynamicSyncBatchNorm, ExpandableMixin):
        """SyncBatchNorm that can be widened; what it expands to is a SyncBatchNorm."""

        _original_in_channel = ExpandableBatchNorm2d._original_in_channel
        _original_out_channel = ExpandableBatchNorm2d._original_out_channel

        def get_expand_op(self, in_c: int, out_c: int, zero: bool = False) -> nn.SyncBatchNorm:
            plain = ExpandableBatchNorm2d.get_expand_op(self, in_c, out_c, zero)
            return nn.SyncBatchNorm.convert_sync_batchnorm(plain, self.process_group)

    return ExpandableSyncBatchNorm


def mend_sync_batch_norm() -> bool:
    """Let ExpandableUnit see SyncBatchNorm, which models have in a distributed run."""
    unit_class = importlib.import_module(f'{_EXPANDABLE}.unit').ExpandableUnit
    if _replaces(unit_class, nn.SyncBatchNorm(1)):
        return False
    expandable = make_sync_batch_norm_class()
    replace = unit_class._replace_with_dynamic_ops

    def _replace_with_dynamic_ops(self: Any, model: nn.Module, replacements: dict) -> None:
        replace(self, model, {**replacements, nn.SyncBatchNorm: expandable})

    unit_class._replace_with_dynamic_ops = _replace_with_dynamic_ops
    return True


DEMO_INPUT = 'traced_demo_input'
"""Attribute of a traced model: the demo input it was traced with."""


def mend_demo_input() -> bool:
    """Trace a model that is to be padded with the demo input it was traced with before.

    Upstream asks for (1, 3, 224, 224) whatever the model, which no gait model can take.
    """
    tools = importlib.import_module(f'{_EXPANDABLE}.tools')
    if len(inspect.signature(tools.to_expandable_model).parameters) > 1:
        return False
    mutator_class, unit_class = tools.ChannelMutator, tools.ExpandableUnit
    prepare = mutator_class.prepare_from_supernet

    def prepare_from_supernet(self: Any, supernet: nn.Module) -> None:
        parse_cfg = self.parse_cfg
        if self.unit_class is unit_class and hasattr(supernet, DEMO_INPUT):
            self.parse_cfg = {**parse_cfg, 'demo_input': getattr(supernet, DEMO_INPUT)}
        elif isinstance(parse_cfg, dict) and 'demo_input' in parse_cfg:
            setattr(supernet, DEMO_INPUT, parse_cfg['demo_input'])
        elif hasattr(parse_cfg, 'demo_input'):
            setattr(supernet, DEMO_INPUT, parse_cfg.demo_input)
        prepare(self, supernet)

    mutator_class.prepare_from_supernet = prepare_from_supernet
    return True


REPAIRS = (
    RepairSpec(
        'mmrazor-sync-batch-norm', 'mmrazor',
        'ExpandableUnit does not know SyncBatchNorm, so `divisor` does nothing in a distributed '
        'run and fix_subnet.json is empty',
        mend_sync_batch_norm),
    RepairSpec(
        'mmrazor-expandable-demo-input', 'mmrazor',
        'models are padded to a divisor with a demo input of (1, 3, 224, 224), whatever they take',
        mend_demo_input),
)
