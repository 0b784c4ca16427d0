"""OpenGait's `MultiGaitpp`."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import MultiGaitPPBackbone
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .deepgaitv2 import p3d_name, strip_head, strip_name

_CHANNELS = [64, 128, 256, 512]
#: OpenGait gives the second part to the fusion first.
_SCORES = {'first_scores': 'conv2', 'second_scores': 'conv1'}


@register_model('MultiGaitpp')
def multigaitpp(model: Section, context: ModelContext) -> dict:
    """Give the config of MultiGait++."""
    section = model.section('Backbone')
    if section.integer('C') != 2:
        raise section.fail('C', 'must be 2: OpenGait makes the fusions for 64 and 256 channels')
    backbone = {'type': 'MultiGaitPPBackbone',
                'inputs': [section.integer(f'part{i}_channel') for i in (1, 2)],
                'channels': _CHANNELS, 'blocks': section.integers('blocks', length=4)}
    section.ignore('in_channels')  # asked for and not used
    section.done()
    return {'backbone': backbone, **strip_head(model, _CHANNELS, context)}


@register_names(MultiGaitPPBackbone)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    return strip_name(key, _backbone_name)


def _backbone_name(stage: str, *rest: str) -> str:
    if stage == 'fusion':
        return '.'.join(['fusion.conv.forward_block', *rest])
    if stage == 'common':
        return '.'.join([f'csquare.{_SCORES[rest[0]]}.forward_block', *rest[1:]])
    branch, _, layer = stage.rpartition('_')
    official = {'first': 'part1_', 'second': 'part2_', '': ''}[branch] + layer.replace(
        'stem', 'layer0')
    if layer in ('stem', 'layer1'):
        return '.'.join([f'{official}.forward_block', *rest])
    return p3d_name(official, *rest)
