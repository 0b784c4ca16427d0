"""OpenGait's `GLN`, before and with its compact block."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import GLNNeck
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .gaitset import FRAME_CONVS, part_head, plain_backbone

_BINS = [16, 8, 4, 2, 1]
#: Names of the parts of the compact block.
_COMPACT = {'0': 'encoder_bn', '3': 'reduce_fc', '4': 'reduce_bn'}


@register_model('GLN')
def gln(model: Section, context: ModelContext) -> dict:
    """Give the config of GLN; with `Lateral_pretraining` it has no compact block."""
    channels = model.integers('in_channels', length=4)
    width, embed = model.integer('lateral_dim'), model.integer('hidden_dim')
    if model.integers('bin_num') != _BINS:
        raise model.fail('bin_num', f'must be {_BINS}: OpenGait pools by no other')
    head: dict
    if model.flag('Lateral_pretraining'):
        model.ignore('class_num', 'dropout')
        head = part_head(model, context, width, 3 * sum(_BINS))
    else:
        fc = model.section('SeparateFCs')
        for key, expected in (('in_channels', width), ('out_channels', embed),
                              ('parts_num', 3 * sum(_BINS))):
            if fc.integer(key) != expected:
                raise fc.fail(key, f'must be {expected}: so many has the model')
        fc.done()
        head = {'type': 'GLNHead', 'in_channels': width, 'embed_channels': embed,
                'num_parts': 3 * sum(_BINS), 'compact_channels': embed,
                'num_classes': model.integer('class_num'), 'dropout': model.number('dropout'),
                **context.head_losses()}
    return {'backbone': plain_backbone(channels),
            'neck': {'type': 'GLNNeck', 'channels': channels[1:], 'lateral_channels': width},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': _BINS}, 'head': head}


@register_names(GLNNeck)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, module, *rest = key.split('.')
    if part == 'backbone':
        stage, index = FRAME_CONVS[int(rest[0])]
        return f'sil_stage_{stage}.forward_block.{index}.conv.weight'
    if part == 'neck':
        if module in ('lateral', 'smooth'):
            return f'{module}_layer{int(rest[0]) + 1}.weight'
        return f'set_stage_{module.removeprefix("stage")}.{rest[0]}.conv.weight'
    if module == 'compact':
        return f'{_COMPACT[rest[0]]}.{rest[1]}'
    return {'fc': 'Head.fc_bin', 'classifier': 'reduce_cls.weight'}.get(module)
