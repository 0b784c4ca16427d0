"""OpenGait's `DeepGaitV2`, in its three modes."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import DeepGaitV2Backbone
from ...models.deepgait import BLOCKS
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .baseline import bnneck_name

_PARTS = 16
#: Names of the pseudo-3D block, whose convolutions of frames are wrapped together with their norms.
_P3D = {'conv1': 'conv1.forward_block.0', 'bn1': 'conv1.forward_block.1',
        'conv2': 'conv2.forward_block.0', 'bn2': 'conv2.forward_block.1',
        'temporal_conv': 'shortcut3d', 'temporal_bn': 'sbn'}


@register_model('DeepGaitV2')
def deepgaitv2(model: Section, context: ModelContext) -> dict:
    """Give the config of DeepGaitV2."""
    section, necks = model.section('Backbone'), model.section('SeparateBNNecks')
    channels = section.integers('channels', length=4)
    backbone = {'type': 'DeepGaitV2Backbone', 'mode': section.choice('mode', list(BLOCKS)),
                'in_channels': section.integer('in_channels'), 'channels': channels,
                'blocks': section.integers('layers', length=4)}
    section.done()
    if backbone['in_channels'] != 1:
        raise section.fail('in_channels', 'has no counterpart: the data sets here are of '
                                          'silhouettes, which have 1 (SkeletonGait reads maps)')
    classes = necks.integer('class_num')
    # OpenGait reads the number of classes alone
    necks.ignore('in_channels', 'parts_num')
    necks.done()
    if model.flag('use_emb2', False):
        raise model.fail('use_emb2', 'has no counterpart: the embedding is that before the BNNeck')
    return {'backbone': backbone,
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': [_PARTS]},
            'head': {'type': 'PartBNNeckHead', 'in_channels': channels[3],
                     'embed_channels': channels[2], 'num_parts': _PARTS, 'num_classes': classes,
                     **context.head_losses()}}


@register_names(DeepGaitV2Backbone)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, _, rest = key.partition('.')
    if part == 'head':
        return bnneck_name(rest)
    if part != 'backbone':
        return None
    stage, index, *entry = rest.split('.')
    if stage == 'stem':
        return f'layer0.forward_block.{index}.{entry[0]}'
    wrapped = stage == 'layer1' or model.backbone.mode == '2d'
    if not wrapped and model.backbone.mode == 'p3d':
        entry[0] = _P3D.get(entry[0], entry[0])
    return '.'.join([f'{stage}.forward_block' if wrapped else stage, index, *entry])
