"""Channel units of our graph in MMRazor's own terms."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmrazor.models.architectures.dynamic_ops import DynamicConv2d
from mmrazor.models.architectures.dynamic_ops.mixins import DynamicConvMixin
from mmrazor.models.task_modules.tracer import ChannelAnalyzer
from mmrazor.registry import MODELS, TASK_UTILS
from torch import nn

from razor_ext.graph import ChannelGraph, ChannelUnit, analyze
from razor_ext.graph.fixers import find_fixer, fix_conv_module

from .demo_input import build_demo_input

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._BatchNorm)
Span = tuple  # (start, end)


def spans(indices: torch.Tensor) -> list[Span] | None:
    """Express a member's positions as MMRazor channels.

    Args:
        indices: Positions [num_channels, k] of each channel.

    Returns:
        (start, end) ranges that hold the channels in order, each position once or in equal
        contiguous blocks; None if they lie otherwise.
    """
    count, width = indices.shape
    first = int(indices.min())
    if torch.equal(indices.reshape(-1), torch.arange(first, first + count * width)):
        return [(first, first + count * width)]
    steps = indices - torch.arange(count)[:, None]
    if (steps != steps[:1]).any():
        return None
    return [(int(start), int(start) + count) for start in steps[0]]


def _ancestors(path: str) -> list[str]:
    """Names of the modules around a module."""
    parts = path.split('.')
    return ['.'.join(parts[:i]) for i in range(len(parts))]


def unit_config(unit: ChannelUnit, model: nn.Module) -> dict[str, Any]:
    """Return a unit as MMRazor's unit config.

    Args:
        unit: A unit of the model's graph.
        model: The model.

    Returns:
        `dict(init_args=dict(num_channels), channels=dict(input_related, output_related))`.

    Raises:
        ValueError: MMRazor cannot express the unit; the message says why.
    """
    modules = dict(model.named_modules())
    found: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for member in unit.members:
        owner, _, local = member.name.rpartition('.')
        module = modules[owner]
        if not isinstance(module, _LAYERS):
            raise ValueError(f'{member.name} is a parameter of {type(module).__name__}, '
                             'for which MMRazor has no dynamic layer')
        for path in _ancestors(owner):
            if find_fixer(modules[path]) not in (None, fix_conv_module):
                raise ValueError(f'{path} holds sizes as Python numbers, which MMRazor does not '
                                 'change')
        if local != 'weight':
            continue
        ranges = spans(member.indices)
        if ranges is None:
            raise ValueError(f'the channels of {member.name} are not contiguous')
        sides = {member.role == 'out'}
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            sides = {True, False}
        elif getattr(module, 'groups', 1) > 1:
            if not module.groups == module.in_channels == module.out_channels:
                raise ValueError(f'{owner} is grouped, and MMRazor keeps its number of groups')
            sides = {True, False}
        for is_output in sides:
            found[is_output] += [dict(name=owner, start=start, end=end) for start, end in ranges]
    # MMRazor names a unit after its first output
    found[True].sort(key=lambda entry: not unit.name.startswith(
        f'{entry["name"]}_({entry["start"]}, '))
    return dict(init_args=dict(num_channels=unit.num_channels),
                channels=dict(input_related=found[False], output_related=found[True]))


def unit_configs(graph: ChannelGraph, model: nn.Module
                 ) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return all units as configs for `ChannelMutator(parse_cfg=dict(type='Config'))`.

    Returns:
        Unit name -> config, and unit name -> why MMRazor cannot take it.
    """
    configs, skipped = {}, {}
    for unit in graph.units:
        try:
            configs[unit.name] = unit_config(unit, model)
        except ValueError as error:
            skipped[unit.name] = str(error)
    return configs, skipped


@TASK_UTILS.register_module()
class GraphChannelAnalyzer(ChannelAnalyzer):
    """Finds MMRazor's units with our graph; pass an instance as a mutator's `parse_cfg`.

    Args:
        demo_input: Makes the example input: a shape, a config, or None for the model's default.
        keep: Modules or parameters that stay whole.
    """

    def __init__(self, demo_input: Sequence[int] | Mapping | None = None,
                 keep: Sequence[str] = ()) -> None:
        self.demo_input = build_demo_input(demo_input)
        self.keep = tuple(keep)
        self.skipped: dict[str, str] = {}

    def analyze(self, model: nn.Module) -> dict[str, dict[str, Any]]:
        """Return unit configs; `skipped` then holds the units MMRazor cannot take."""
        graph = analyze(model, self.demo_input.get_data(model), keep=self.keep)
        configs, self.skipped = unit_configs(graph, model)
        return configs


class _DynamicConv(DynamicConvMixin):
    """What MMRazor's `DynamicConv2d` has beside its rank."""

    accepted_mutable_attrs = {'in_channels', 'out_channels'}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mutable_attrs = nn.ModuleDict()

    convert_from: Any = classmethod(DynamicConv2d.convert_from.__func__)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_mixin(x)


@MODELS.register_module()
class DynamicConv1d(_DynamicConv, nn.Conv1d):
    """Dynamic convolution for sequences [n, c, t]."""

    conv_func = property(lambda self: F.conv1d)
    static_op_factory = property(lambda self: nn.Conv1d)


@MODELS.register_module()
class DynamicConv3d(_DynamicConv, nn.Conv3d):
    """Dynamic convolution for clips [n, c, t, h, w]."""

    conv_func = property(lambda self: F.conv3d)
    static_op_factory = property(lambda self: nn.Conv3d)
