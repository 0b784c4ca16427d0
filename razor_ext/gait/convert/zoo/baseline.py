"""OpenGait's `Baseline`: GaitBase with a ResNet9, and the plain CNN before it."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import GaitPlainCNN, GaitResNet
from ..registry import ModelContext, register_model, register_names
from ..section import Section, SettingError, shown


@register_model('Baseline')
def baseline(model: Section, context: ModelContext) -> dict:
    """Give the config of GaitBase, or of the plain CNN."""
    backbone = model.section('backbone_cfg')
    config, width = backbone.choice('type', {'Plain': _plain, 'ResNet9': _resnet})(backbone)
    backbone.done()
    bins = model.integers('bin_num')
    head = bnneck_head(model)
    for key, found, expected in (('in_channels', head['in_channels'], width),
                                 ('parts_num', head['num_parts'], sum(bins))):
        if found != expected:
            raise SettingError(f'{model.where("SeparateFCs")}.{key}={found} does not fit: the '
                               f'layers before it give {expected}')
    return {'backbone': config, 'pooling': {'type': 'HorizontalPyramidPooling', 'bins': bins},
            'head': {**head, **context.head_losses()}}


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


def _resnet(backbone: Section) -> tuple[dict, int]:
    if backbone.choice('block', ('BasicBlock', 'Bottleneck')) != 'BasicBlock':
        raise backbone.fail('block', 'has no counterpart: only BasicBlock has')
    channels = backbone.integers('channels', [32, 64, 128, 256], length=4)
    blocks = backbone.integers('layers', [1, 2, 2, 1], least=0, length=4)
    width = next((c for c, depth in zip(reversed(channels), reversed(blocks)) if depth),
                 channels[0])
    return {'type': 'GaitResNet', 'in_channels': backbone.integer('in_channel', 1),
            'channels': channels, 'blocks': blocks,
            'strides': backbone.integers('strides', [1, 2, 2, 1], length=4),
            'max_pool': backbone.flag('maxpool', True)}, width


def _plain(backbone: Section) -> tuple[dict, int]:
    stages, width = plain_stages(backbone)
    return {'type': 'GaitPlainCNN', 'in_channels': backbone.integer('in_channels', 1),
            **stages}, width


def plain_stages(backbone: Section) -> tuple[dict, int]:
    """Stages of a `Plain` backbone from its `layers_cfg`, and the channels of its maps.

    `BC-64` is a convolution to 64 channels, `FC-64-2` one of 2 ** 2 strips, `M` a pooling.

    Args:
        backbone (Section): Has the list.
    """
    layers = backbone.get('layers_cfg')
    if not isinstance(layers, list) or not layers or layers[0] == 'M':
        raise backbone.fail('layers_cfg', 'must be a list of BC-<channels>, FC-<channels>-<n> and '
                                          'M, BC first')
    stages: list[list[int]] = [[]]
    cuts: list[set[int]] = [set()]
    for layer in layers:
        if layer == 'M':
            stages.append([])
            cuts.append(set())
            continue
        kind, *numbers = layer.split('-') if isinstance(layer, str) else ('', )
        # of few digits: a width, not a number that Python may refuse to read
        if (kind, len(numbers)) not in (('BC', 1), ('FC', 2)) or not all(
                n.isascii() and n.isdecimal() and len(n) < 6 for n in numbers) or not int(
                    numbers[0]) or (kind == 'FC' and int(numbers[1]) > 6):
            raise backbone.fail('layers_cfg', f'has {shown(layer)}: the layers of a plain CNN are '
                                              'BC-<channels>, FC-<channels>-<n> and M')
        stages[-1].append(int(numbers[0]))
        cuts[-1].add(2 ** int(numbers[1]) if kind == 'FC' else 1)
    if cuts[0] != {1} or any(len(strips) > 1 for strips in cuts):
        raise backbone.fail('layers_cfg', 'has no counterpart: between two M the layers must be of '
                                          'one kind, and BC before the first')
    config: dict = {'channels': stages}
    if any(strips - {1} for strips in cuts):
        config['strips'] = [max(strips, default=1) for strips in cuts]
    return config, next(stage[-1] for stage in reversed(stages) if stage)


@register_names(GaitResNet, GaitPlainCNN)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, _, rest = key.partition('.')
    if part == 'head':
        return bnneck_name(rest)
    if part != 'backbone':
        return None
    if isinstance(model.backbone, GaitPlainCNN):
        return plain_name(rest)
    if rest == 'conv1.weight':
        rest = 'conv1.conv.weight'
    return f'Backbone.forward_block.{rest}'


def plain_name(key: str) -> str:
    """Official name of a convolution of a `GaitPlainCNN`, by its name there."""
    return f'Backbone.forward_block.feature.{key.split(".")[1]}.conv.weight'


def bnneck_name(key: str, fc: str = 'FCs.fc_bin') -> str | None:
    """Official name of a parameter of a `PartBNNeckHead`.

    Args:
        key (str): Its name in the head.
        fc (str): What the model calls the matrices before the neck.
    """
    module, _, entry = key.partition('.')
    return {'fc': fc, 'classifier': 'BNNecks.fc_bin', 'bn': f'BNNecks.bn1d.{entry}'}.get(module)
