"""Model configs the gait tests share."""
from __future__ import annotations

from mmengine.registry import MODELS

import razor_ext  # noqa: F401  (registers the models)

LOSSES = {'loss_triplet': {'type': 'PartTripletLoss', 'margin': 0.2},
          'loss_cls': {'type': 'PartCrossEntropyLoss', 'scale': 16, 'label_smoothing': 0.1}}


def gaitbase(num_classes=74, channels=(64, 128, 256, 512), embed=256, **kwargs):
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitResNet', 'channels': channels},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': (16,)},
            'head': {'type': 'PartBNNeckHead', 'in_channels': channels[-1],
                     'embed_channels': embed, 'num_parts': 16, 'num_classes': num_classes,
                     **LOSSES}, **kwargs}


def plain(num_classes=74, channels=(64, 128, 256), embed=256, **kwargs):
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitPlainCNN', 'channels': channels},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': (16, 8, 4, 2, 1)},
            'head': {'type': 'PartBNNeckHead', 'in_channels': channels[-1],
                     'embed_channels': embed, 'num_parts': 31, 'num_classes': num_classes,
                     **LOSSES}, **kwargs}


def gaitgl(num_classes=74, stem=(32,), stages=((64,), (128,), (128,)), num_strips=8,
           head='PartBNHead', **kwargs):
    width = stages[-1][-1]
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitGLBackbone', 'stem': stem, 'stages': stages,
                         'num_strips': num_strips},
            'pooling': {'type': 'GeMPooling', 'num_parts': 64},
            'head': {'type': head, 'in_channels': width, 'embed_channels': width,
                     'num_parts': 64, 'num_classes': num_classes, **LOSSES},
            'data_preprocessor': {'type': 'GaitDataPreprocessor', 'min_frames': 3}, **kwargs}


def deepgaitv2(num_classes=74, mode='p3d', channels=(64, 128, 256, 512), blocks=(1, 1, 1, 1),
               embed=256, **kwargs):
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'DeepGaitV2Backbone', 'mode': mode, 'channels': channels,
                         'blocks': blocks},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': (16,)},
            'head': {'type': 'PartBNNeckHead', 'in_channels': channels[-1],
                     'embed_channels': embed, 'num_parts': 16, 'num_classes': num_classes,
                     **LOSSES}, **kwargs}


def two_inputs(kind, inputs, num_classes=74, channels=(64, 128, 256, 512), blocks=(1, 1, 1, 1),
               embed=256, squeeze=16, **kwargs):
    model = deepgaitv2(num_classes, 'p3d', channels, blocks, embed, **kwargs)
    model['backbone'] = {'type': f'{kind}Backbone', 'inputs': inputs, 'channels': channels,
                         'blocks': blocks, 'squeeze': squeeze}
    return model


def part_head(width, embed, parts):
    return {'type': 'PartHead', 'in_channels': width, 'embed_channels': embed, 'num_parts': parts,
            'loss_triplet': LOSSES['loss_triplet']}


def gaitset(channels=(32, 64, 128), embed=256, **kwargs):
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitPlainCNN', 'channels': channels, 'out_indices': (0, 1, 2)},
            'neck': {'type': 'GaitSetNeck', 'channels': channels},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': (16, 8, 4, 2, 1)},
            'head': part_head(channels[-1], embed, 62), **kwargs}


def gaitpart(channels=((32, 32), (64, 64), (128, 128)), strips=(1, 4, 8), embed=128, **kwargs):
    width = channels[-1][-1]
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitPlainCNN', 'channels': channels, 'strips': strips},
            'pooling': {'type': 'MicroMotionPooling', 'in_channels': width},
            'head': part_head(width, embed, 16), **kwargs}


def gln(num_classes=None, channels=(32, 64, 128), lateral=256, embed=256, dropout=0.9, **kwargs):
    head = part_head(lateral, embed, 93)
    if num_classes is not None:
        head = {**head, **LOSSES, 'type': 'GLNHead', 'num_classes': num_classes,
                'compact_channels': embed, 'dropout': dropout}
    return {'type': 'GaitRecognizer',
            'backbone': {'type': 'GaitPlainCNN', 'channels': channels, 'out_indices': (0, 1, 2)},
            'neck': {'type': 'GLNNeck', 'channels': channels, 'lateral_channels': lateral},
            'pooling': {'type': 'HorizontalPyramidPooling', 'bins': (16, 8, 4, 2, 1)},
            'head': head, **kwargs}


_MAPS = deepgaitv2(5, 'p3d', (4, 6, 8, 10), (1, 2, 1, 1), 7)
_MAPS['backbone']['in_channels'] = 2
_MAPS['head']['neck_embedding'] = True
#: The models of the zoo, small.
ZOO = {
    'deepgaitv2-2d': deepgaitv2(5, '2d', (4, 6, 8, 10), (1, 2, 1, 1), 7),
    'deepgaitv2-p3d': deepgaitv2(5, 'p3d', (4, 6, 8, 10), (1, 2, 1, 1), 7),
    'deepgaitv2-3d': deepgaitv2(5, '3d', (4, 6, 8, 10), (1, 2, 1, 1), 7),
    'skeletongait': _MAPS,
    'skeletongaitpp': two_inputs('SkeletonGaitPP', (2, 1), 5, (4, 6, 8, 10), (1, 2, 1, 1), 7, 1),
    'multigaitpp': two_inputs('MultiGaitPP', (1, 3), 5, (4, 6, 8, 10), (1, 2, 1, 1), 7, 1),
    'gaitset': gaitset((4, 6, 8), 7),
    'gaitpart': gaitpart(((4, 4), (6, 6), (8, 8)), embed=7),
    'gaitpart-oumvlp': gaitpart(((4, 4), (6, 6), (8, 8, 12, 12)), (1, 1, 8), 7),
    'gln': gln(None, (4, 6, 8), 5, 7),
    'gln-compact': gln(5, (4, 6, 8), 5, 7),
}

GAITGL_OUMVLP = {'stem': (32, 32), 'stages': ((64, 64), (128, 128), (256, 256)), 'num_strips': 2}


def build(cfg, seed=0):
    """A built model in evaluation mode with non-trivial statistics in every BatchNorm."""
    import torch
    torch.manual_seed(seed)
    model = MODELS.build(cfg)
    model.init_weights()
    for m in model.modules():
        if isinstance(m, torch.nn.modules.batchnorm._BatchNorm):
            m.running_mean.uniform_(-0.1, 0.1)
            m.running_var.uniform_(0.5, 1.5)
            m.weight.data.uniform_(0.5, 1.5)
            m.bias.data.uniform_(-0.1, 0.1)
    return model.eval()
