"""OpenGait's `SkeletonGaitPP`."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import SkeletonGaitPPBackbone
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .deepgaitv2 import p3d_name, strip_head, strip_name

#: Channels of the maps of joints and of the silhouettes.
_INPUTS = [2, 1]
_FRAMES = {'first_stem': 'map_layer0', 'second_stem': 'sil_layer0', 'first_layer1': 'map_layer1',
           'second_layer1': 'sil_layer1'}


@register_model('SkeletonGaitPP', pickles=2)
def skeletongaitpp(model: Section, context: ModelContext) -> dict:
    """Give the config of SkeletonGait++."""
    section = model.section('Backbone')
    if section.integer('in_channels') != sum(_INPUTS):
        raise section.fail('in_channels', 'must be 3: two maps of joints and a silhouette')
    width = section.integer('C', most=1024)
    channels = [width * factor for factor in (32, 64, 128, 256)]
    backbone = {'type': 'SkeletonGaitPPBackbone', 'inputs': _INPUTS, 'channels': channels,
                'blocks': section.integers('blocks', length=4)}
    section.done()
    return {'backbone': backbone, **strip_head(model, channels, context)}


@register_names(SkeletonGaitPPBackbone)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    return strip_name(key, _backbone_name)


def _backbone_name(stage: str, *rest: str) -> str:
    if stage == 'fusion':
        return '.'.join(['fusion.conv.forward_block', *rest[1:]])
    if stage in _FRAMES:
        return '.'.join([f'{_FRAMES[stage]}.forward_block', *rest])
    return p3d_name(stage, *rest)
