"""Models of the field for the graph's table: `python -m tests.graph.graph_zoo [name ...]`."""
from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .graph_nets import ClipNet, FrameNet, conv_bn, mmpose_config, mmpose_model, rtmpose


class _AnyName(type):

    def __getattr__(cls, name: str) -> str:
        if name.startswith('__'):
            raise AttributeError(name)
        return name


class _StandIn(types.ModuleType):
    """A torchvision of empty classes: timm imports names of it for data, not for models."""

    __path__: list = []

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)
        return sys.modules.get(f'{self.__name__}.{name}') or _AnyName(name, (), {})


class _Finder:

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'torchvision':
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _StandIn(spec.name)

    def exec_module(self, module):
        return


@contextlib.contextmanager
def torchvision_or_names() -> Iterator[None]:
    """Import packages inside the block that want names of torchvision, also where it is absent."""
    finder = _Finder()
    if importlib.util.find_spec('torchvision') is None:
        sys.meta_path.append(finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
            for module in [m for m in sys.modules if m.partition('.')[0] == 'torchvision']:
                del sys.modules[module]


def timm_model(name: str, **options) -> nn.Module:
    """Build a timm model, also where torchvision is absent."""
    with torchvision_or_names():
        import timm
    return timm.create_model(name, pretrained=False, **options)


class UNet(nn.Module):
    """Three scales, transposed convolutions up, concatenated skips."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w = width
        self.d0, self.d1, self.d2 = conv_bn(3, w), conv_bn(w, 2 * w), conv_bn(2 * w, 4 * w)
        self.u1, self.m1 = nn.ConvTranspose2d(4 * w, 2 * w, 2, 2), conv_bn(4 * w, 2 * w)
        self.u0, self.m0 = nn.ConvTranspose2d(2 * w, w, 2, 2), conv_bn(2 * w, w)
        self.out = nn.Conv2d(w, 5, 1)

    def forward(self, x):
        a = self.d0(x)
        b = self.d1(F.max_pool2d(a, 2))
        c = self.d2(F.max_pool2d(b, 2))
        b = self.m1(torch.cat([self.u1(c), b], 1))
        return self.out(self.m0(torch.cat([self.u0(b), a], 1)))


class TemporalConvNet(nn.Module):
    """Dilated causal Conv1d blocks over an embedded sequence."""

    def __init__(self, width: int = 32, levels: int = 4) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, width)
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 3, dilation=2**i)
                                   for i in range(levels))
        self.back = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(levels))
        self.head = nn.Linear(width, 50)

    def forward(self, tokens):
        x = self.embed(tokens).transpose(1, 2)
        for i, (conv, back) in enumerate(zip(self.convs, self.back)):
            value, gate = conv(F.pad(x, (2 * 2**i, 0))).chunk(2, 1)
            x = x + back(value.tanh() * gate.sigmoid())
        return self.head(x.transpose(1, 2))


class ViTPose(nn.Module):
    """The head of mmpose's ViTPose-S config on timm's ViT-S; mmpose's own is in mmpretrain."""

    def __init__(self) -> None:
        super().__init__()
        import mmpose.models  # noqa: F401
        from mmengine.registry import init_default_scope
        from mmpose.registry import MODELS
        init_default_scope('mmpose')
        head = mmpose_config(
            'topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py').model.head
        self.backbone = timm_model('vit_small_patch16_224', img_size=(256, 192), num_classes=0,
                                   class_token=False, global_pool='')
        self.head = MODELS.build(head)

    def forward(self, x):
        tokens = self.backbone.forward_features(x)
        return self.head((tokens.transpose(1, 2).unflatten(2, (16, 12)), ))


def rtmdet(size: str = 'tiny') -> nn.Module:
    """RTMDet of mmdet's configs, whose branches have their convolutions in common."""
    import mmdet.models
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    root = Path(mmdet.__file__).parent / '.mim' / 'configs' / 'rtmdet'
    model = Config.fromfile(root / f'rtmdet_{size}_8xb32-300e_coco.py').model
    model.backbone.pop('init_cfg', None)
    init_default_scope('mmdet')
    return mmdet.registry.MODELS.build(model)


def pose(name: str) -> Callable[[], nn.Module]:
    return lambda: mmpose_model(f'topdown_heatmap/coco/td-hm_{name}_coco-256x192.py')


PERSON, SMALL, SQUARE = (1, 3, 256, 192), (1, 3, 128, 96), (1, 3, 64, 64)
ZOO: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{f'RTMPose-{size} {data}': (lambda size=size, data=data: rtmpose(size, data), PERSON)
       for size in 'tsm' for data in ('coco', 'halpe26')},
    'ResNet-18 (timm)': (lambda: timm_model('resnet18'), SQUARE),
    'ResNet-50 (timm)': (lambda: timm_model('resnet50'), SQUARE),
    'ResNet-50 pose': (pose('res50_8xb64-210e'), SMALL),
    'ResNeXt-50 pose': (pose('resnext50_8xb64-210e'), SMALL),
    'MobileNetV2 pose': (pose('mobilenetv2_8xb64-210e'), SMALL),
    'MobileNetV3-S (timm)': (lambda: timm_model('mobilenetv3_small_100'), SQUARE),
    'ShuffleNetV2 pose': (pose('shufflenetv2_8xb64-210e'), SMALL),
    'DenseNet-121 (timm)': (lambda: timm_model('densenet121'), SQUARE),
    'EfficientNet-B0 (timm)': (lambda: timm_model('efficientnet_b0'), SQUARE),
    'ConvNeXt-atto (timm)': (lambda: timm_model('convnext_atto'), SQUARE),
    'ViT-Ti (timm)': (lambda: timm_model('vit_tiny_patch16_224', img_size=64), SQUARE),
    'ViTPose-S': (ViTPose, PERSON),
    'Swin-T pose': (pose('swin-t-p4-w7_8xb32-210e'), SMALL),
    'HRNet-w32 pose': (pose('hrnet-w32_8xb64-210e'), SMALL),
    'LiteHRNet-18 pose': (pose('litehrnet-18_8xb64-210e'), SMALL),
    'RTMDet-tiny': (rtmdet, SQUARE),
    'UNet': (UNet, SQUARE),
    'Temporal Conv1d net': (TemporalConvNet, (2, 20)),
    'GaitGL-like clips': (lambda: ClipNet((32, 64, 128), 74), (1, 1, 9, 16, 12)),
    'GaitBase-like frames': (lambda: FrameNet((64, 128), 256, 74, 16), (1, 1, 4, 32, 22))}


def example(shape: tuple[int, ...]) -> torch.Tensor:
    """Token numbers for a two-dimensional shape, else random numbers."""
    if len(shape) == 2:
        return torch.arange(40).reshape(shape)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def row(name: str) -> str:
    """Analyse one model and return its line of the table."""
    from razor_ext.graph import analyze
    from razor_ext.graph.propagate import propagate
    from razor_ext.graph.structure import bind_inputs, structure_copy
    from razor_ext.graph.trace import trace
    build, shape = ZOO[name]
    model, inputs = build().eval(), example(shape)
    clone, call = structure_copy(model), bind_inputs(model, inputs)
    trace(clone, *call)  # warm caches
    start = time.perf_counter()
    program = trace(clone, *call)
    traced = time.perf_counter()
    propagate(program, {})
    grouped = time.perf_counter()
    graph = analyze(model, inputs)
    done = time.perf_counter()
    error = graph.prove(0.5)
    reasons = Counter()
    for entry in graph.frozen:
        if entry.operator and entry.share > 0.5 and 'not of channels' not in entry.reason:
            reasons[f'{entry.operator}: {entry.reason}'] += 1
    for reason in graph.refused.values():
        reasons[f'refused: {reason.partition(" (")[0].partition(";")[0]}'] += 1
    why = '; '.join(f'{reason} ({count})' for reason, count in reasons.most_common(3)) or '-'
    return (f'| {name} | {len(graph.units)} | {100 * graph.reachable_share:.1f} | '
            f'{1000 * (traced - start):.0f} + {1000 * (grouped - traced):.0f} | '
            f'{done - grouped:.1f} | {error:.0e} | {why} |')


if __name__ == '__main__':
    torch.set_num_threads(1)
    print('| model | units | reachable % | trace + group, ms | proved, s | error | frozen |')
    print('|---|---|---|---|---|---|---|')
    for chosen in sys.argv[1:] or ZOO:
        print(row(chosen), flush=True)
