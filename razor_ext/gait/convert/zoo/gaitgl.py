"""OpenGait's `GaitGL`, with either of its heads."""
from __future__ import annotations

from mmengine.model import BaseModel

from ...models import GaitGLBackbone, PartBNHead, PartBNNeckHead
from ..registry import ModelContext, register_model, register_names
from ..section import Section
from .baseline import bnneck_name

_STAGES = ('GLConvA0', 'GLConvA1', 'GLConvB2')
_PARTS = 64
#: Data sets whose GaitGL is the large one: four widths, pairs of convolutions, two strips.
_LARGE = ('OUMVLP', 'GREW')


@register_model('GaitGL')
def gaitgl(model: Section, context: ModelContext) -> dict:
    """Give the config of GaitGL, whose shape follows from the data set's name."""
    large = context.dataset in _LARGE
    channels = model.integers('channels')
    if len(channels) != 3 + large:
        raise model.fail('channels', f'must be {3 + large} numbers: GaitGL on {context.dataset} '
                                     'has as many widths')
    first, *rest = channels
    backbone: dict
    if large:
        backbone = {'stem': [first] * 2, 'stages': [[c, c] for c in rest], 'num_strips': 2}
    else:
        backbone = {'stem': [first], 'stages': [[rest[0]], [rest[1]], [rest[1]]], 'num_strips': 8}
    width, classes, kind = channels[-1], model.integer('class_num'), 'PartBNHead'
    if 'SeparateBNNecks' in model:
        necks = model.section('SeparateBNNecks')
        classes, kind = necks.integer('class_num'), 'PartBNNeckHead'
        for key, expected in (('in_channels', width), ('parts_num', _PARTS)):
            if necks.integer(key) != expected:
                raise necks.fail(key, f'must be {expected}')
        necks.done()
    return {'data_preprocessor': {'type': 'GaitDataPreprocessor', 'min_frames': 3},
            'backbone': {'type': 'GaitGLBackbone', **backbone},
            'pooling': {'type': 'GeMPooling', 'num_parts': _PARTS, 'p': 6.5},
            'head': {'type': kind, 'in_channels': width, 'embed_channels': width,
                     'num_parts': _PARTS, 'num_classes': classes, **context.head_losses()}}


@register_names(GaitGLBackbone)
def names(model: BaseModel, key: str) -> str | None:
    """Official name of a parameter."""
    part, _, rest = key.partition('.')
    if part == 'backbone':
        return _backbone_name(model.backbone, rest)
    if part == 'pooling':
        return 'HPP.p' if rest == 'p' else None
    if isinstance(model.head, PartBNNeckHead):
        return bnneck_name(rest, fc='Head0.fc_bin')
    module, _, entry = rest.partition('.')
    if isinstance(model.head, PartBNHead):
        return {'fc': 'Head0.fc_bin', 'classifier': 'Head1.fc_bin', 'bn': f'Bn.{entry}'}.get(module)
    return None


def _backbone_name(backbone: GaitGLBackbone, key: str) -> str | None:
    if backbone.num_stages != len(_STAGES):
        return None
    module, index, *rest = key.split('.')
    if module in ('stem', 'lta'):
        return f'{"conv3d" if module == "stem" else "LTA"}.{index}.conv3d.weight'
    stage = int(module.removeprefix('stage'))
    position = f'.{index}' if len(getattr(backbone, module)) > 1 else ''
    branch = rest[0].removesuffix('_conv')
    return f'{_STAGES[stage]}{position}.{branch}_conv3d.conv3d.weight'
