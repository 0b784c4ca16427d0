"""OpenGait's `GaitSet`."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import GaitSetNeck
from ..registry import ModelContext, register_model, register_names
from ..section import Section

#: Names of the convolutions of GaitPlainCNN's three stages.
FRAME_CONVS = {0: (0, 0), 2: (0, 2), 5: (1, 0), 7: (1, 2), 10: (2, 0), 12: (2, 2)}


def part_head(model: Section, context: ModelContext, width: int, parts: int) -> dict:
    """The config of a head from `SeparateFCs`, which must fit a model's parts.

    Args:
        model (Section): `model_cfg`.
        context (ModelContext): Has the losses.
        width (int): Channels of the part features.
        parts (int): Number of the parts.
    """
    fc = model.section('SeparateFCs')
    for key, expected in (('in_channels', width), ('parts_num', parts)):
        if fc.integer(key) != expected:
            raise fc.fail(key, f'must be {expected}: so many has the model')
    head = {'type': 'PartHead', 'in_channels': width, 'embed_channels': fc.integer('out_channels'),
            'num_parts': parts, **context.head_losses()}
    if fc.flag('norm', False):
        raise fc.fail('norm', 'has no counterpart')
    fc.done()
    if 'loss_cls' in head:
        raise model.fail('model', 'has no classifier, and loss_cfg a loss of it')
    return head


def plain_backbone(channels: list[int]) -> dict:
    """The config of the six convolutions of GaitSet and GLN, which give the maps of all stages."""
    first, *stages = channels
    return {'type': 'GaitPlainCNN', 'in_channels': first, 'channels': stages,
            'out_indices': [0, 1, 2]}


@register_model('GaitSet')
def gaitset(model: Section, context: ModelContext) -> dict:
    """Give the config of GaitSet."""
    channels = model.integers('in_channels', length=4)
    bins = model.integers('bin_num')
    return {'backbone': plain_backbone(channels),
            'neck': {'type': 'GaitSetNeck', 'channels': channels[1:]},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': bins},
            'head': part_head(model, context, channels[3], 2 * sum(bins))}


@register_names(GaitSetNeck)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, module, *rest = key.split('.')
    if part == 'backbone':
        stage, index = FRAME_CONVS[int(rest[0])]
        return f'set_block{stage + 1}.forward_block.{index}.conv.weight'
    if part == 'neck':
        return f'gl_block{int(module.removeprefix("stage")) + 1}.{rest[0]}.conv.weight'
    return 'Head.fc_bin' if key == 'head.fc.weight' else None
