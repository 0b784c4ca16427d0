"""OpenGait's `Baseline`: GaitBase with a ResNet9, and the plain CNN before it."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import GaitPlainCNN, GaitResNet
from ..registry import ModelContext, register_model, register_names
from ..section import Section


@register_model('Baseline')
def baseline(model: Section, context: ModelContext) -> dict:
    """Give the config of GaitBase, or of the plain CNN."""
    backbone = model.section('backbone_cfg')
    config = backbone.choice('type', {'Plain': _plain, 'ResNet9': _resnet})(backbone)
    backbone.done()
    return {'backbone': config,
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': model.integers('bin_num')},
            'head': {**bnneck_head(model), **context.head_losses()}}


def bnneck_head(model: Section) -> dict:
    """The config of a head from `SeparateFCs` and `SeparateBNNecks`."""
    fc, necks = model.section('SeparateFCs'), model.section('SeparateBNNecks')
    head = {'type': 'PartBNNeckHead', 'in_channels': fc.integer('in_channels'),
            'embed_channels': fc.integer('out_channels'), 'num_parts': fc.integer('parts_num'),
            'num_classes': necks.integer('class_num')}
    for key, ours in (('parts_num', 'num_parts'), ('in_channels', 'embed_channels')):
        if necks.integer(key) != head[ours]:
            raise necks.fail(key, f'does not fit {head[ours]} of {fc.path}')
    fc.done()
    necks.done()
    return head


def _resnet(backbone: Section) -> dict:
    if backbone.choice('block', ('BasicBlock', 'Bottleneck')) != 'BasicBlock':
        raise backbone.fail('block', 'has no counterpart: only BasicBlock has')
    if backbone.flag('maxpool', True):
        raise backbone.fail('maxpool', 'has no counterpart (left out it is true): only false has')
    return {'type': 'GaitResNet', 'in_channels': backbone.integer('in_channel', 1),
            'channels': backbone.integers('channels', [32, 64, 128, 256], length=4),
            'blocks': backbone.integers('layers', [1, 2, 2, 1], length=4),
            'strides': backbone.integers('strides', [1, 2, 2, 1], length=4)}


def _plain(backbone: Section) -> dict:
    layers = backbone.get('layers_cfg')
    channels = [int(v.split('-')[1]) for v in layers if v.startswith('BC-')]
    if layers != [x for i, c in enumerate(channels[::2])
                  for x in (['M'] if i else []) + [f'BC-{c}'] * 2]:
        raise backbone.fail('layers_cfg', 'is not BC pairs with M between')
    return {'type': 'GaitPlainCNN', 'in_channels': backbone.integer('in_channels', 1),
            'channels': channels[::2]}


@register_names(GaitResNet, GaitPlainCNN)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, _, rest = key.partition('.')
    if part == 'head':
        return bnneck_name(rest)
    if part != 'backbone':
        return None
    if isinstance(model.backbone, GaitPlainCNN):
        rest = f'{rest.removesuffix("weight")}conv.weight'
    elif rest == 'conv1.weight':
        rest = 'conv1.conv.weight'
    return f'Backbone.forward_block.{rest}'


def bnneck_name(key: str, fc: str = 'FCs.fc_bin') -> str | None:
    """Official name of a parameter of a `PartBNNeckHead`.

    Args:
        key (str): Its name in the head.
        fc (str): What the model calls the matrices before the neck.
    """
    module, _, entry = key.partition('.')
    return {'fc': fc, 'classifier': 'BNNecks.fc_bin', 'bn': f'BNNecks.bn1d.{entry}'}.get(module)
