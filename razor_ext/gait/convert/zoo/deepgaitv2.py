"""OpenGait's `DeepGaitV2`, in its three modes; with two channels it is SkeletonGait."""
from __future__ import annotations

from collections.abc import Callable

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
    section = model.section('Backbone')
    channels = section.integers('channels', length=4)
    backbone = {'type': 'DeepGaitV2Backbone', 'mode': section.choice('mode', list(BLOCKS)),
                'in_channels': section.integer('in_channels'), 'channels': channels,
                'blocks': section.integers('layers', length=4)}
    section.done()
    return {'backbone': backbone, **strip_head(model, channels, context)}


def strip_head(model: Section, channels: list[int], context: ModelContext) -> dict:
    """The configs of pooling and head that the models around DeepGaitV2 share.

    Args:
        model (Section): `model_cfg`.
        channels (list[int]): Channels of the four stages.
        context (ModelContext): Has the losses.
    """
    necks = model.section('SeparateBNNecks')
    head = {'type': 'PartBNNeckHead', 'in_channels': channels[3], 'embed_channels': channels[2],
            'num_parts': _PARTS, 'num_classes': necks.integer('class_num'),
            **context.head_losses()}
    # OpenGait reads the number of classes alone
    necks.ignore('in_channels', 'parts_num')
    necks.done()
    if model.flag('use_emb2', False):
        head['neck_embedding'] = True
    return {'pooling': {'type': 'HorizontalPyramidPooling', 'bins': [_PARTS]}, 'head': head}


@register_names(DeepGaitV2Backbone)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    def backbone(stage: str, index: str, *entry: str) -> str:
        if stage == 'stem':
            return f'layer0.forward_block.{index}.{entry[0]}'
        wrapped = stage == 'layer1' or model.backbone.mode == '2d'
        if wrapped or model.backbone.mode != 'p3d':
            return '.'.join([f'{stage}.forward_block' if wrapped else stage, index, *entry])
        return p3d_name(stage, index, *entry)

    return strip_name(key, backbone)


def strip_name(key: str, backbone: Callable[..., str]) -> str | None:
    """Official name of a parameter of a model whose head is that of `strip_head`.

    Args:
        key (str): Name here.
        backbone (Callable[..., str]): Official name from the parts of one in the backbone.
    """
    part, _, rest = key.partition('.')
    if part == 'head':
        return bnneck_name(rest)
    return backbone(*rest.split('.')) if part == 'backbone' else None


def p3d_name(stage: str, index: str, module: str, *entry: str) -> str:
    """Official name of a parameter of a stage of pseudo-3D blocks.

    Args:
        stage (str): Official name of the stage.
        index (str): Number of the block.
        module (str): Name of its part here.
        *entry (str): The rest of the name.
    """
    return '.'.join([stage, index, _P3D.get(module, module), *entry])
