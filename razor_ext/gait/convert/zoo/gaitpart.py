"""OpenGait's `GaitPart`."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import MicroMotionPooling
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .baseline import plain_name, plain_stages
from .gaitset import part_head

#: Names of the two template builders.
_BUILDERS = ('conv1d3x1', 'conv1d3x3')


@register_model('GaitPart')
def gaitpart(model: Section, context: ModelContext) -> dict:
    """Give the config of GaitPart."""
    section = model.section('backbone_cfg')
    section.choice('type', ['Plain'])
    stages, width = plain_stages(section)
    backbone = {'type': 'GaitPlainCNN', 'in_channels': section.integer('in_channels', 1), **stages}
    section.done()
    bins = model.integers('bin_num')
    return {'backbone': backbone,
            'pooling': {'type': 'MicroMotionPooling', 'in_channels': width, 'bins': bins},
            'head': part_head(model, context, width, sum(bins))}


@register_names(MicroMotionPooling)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, _, rest = key.partition('.')
    if part == 'backbone':
        return plain_name(rest)
    if part == 'pooling':
        _, builder, position, index, _ = rest.split('.')
        return f'TFA.pooling_func.{_BUILDERS[int(builder)]}.{position}.{index}.conv.weight'
    return 'Head.fc_bin' if key == 'head.fc.weight' else None
