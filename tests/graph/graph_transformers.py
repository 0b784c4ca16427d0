"""Transformers and shuffles at half their MACs: `python -m tests.graph.graph_transformers`.

One choice of channels for each, traced and compared in float64; `graph_zoo` verifies in full.
"""
from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

import torch
from torch import nn

from razor_ext.graph import analyze
from razor_ext.graph.data import GraphData
from razor_ext.graph.proof import Prover

from .graph_nets import random_keep
from .graph_zoo import timm_model

POSE = 'body_2d_keypoint/topdown_heatmap/coco/td-hm_'
MODELS: dict[str, tuple[str, str, tuple[int, int]]] = {
    'ViTPose-S': ('mmpose', f'{POSE}ViTPose-small_8xb64-210e_coco-256x192.py', (256, 192)),
    'PVTv2-b2': ('mmpose', f'{POSE}pvtv2-b2_8xb64-210e_coco-256x192.py', (256, 192)),
    'Swin-T': ('mmpose', f'{POSE}swin-t-p4-w7_8xb32-210e_coco-256x192.py', (128, 96)),
    'HRFormer-S': ('mmpose', f'{POSE}hrformer-small_8xb32-210e_coco-256x192.py', (128, 96)),
    'ShuffleNetV2': ('mmpose', f'{POSE}shufflenetv2_8xb64-210e_coco-256x192.py', (128, 96)),
    'LiteHRNet-18': ('mmpose', f'{POSE}litehrnet-18_8xb64-210e_coco-256x192.py', (128, 96)),
    'DeiT-Ti': ('mmpretrain', 'deit/deit-tiny_4xb256_in1k.py', (224, 224)),
    'SegFormer-b0': ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', (64, 64))}


def upstream_model(package: str, path: str) -> nn.Module:
    """Build the model of a config that a package ships, without its weights."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    module = importlib.import_module(package)
    importlib.import_module(f'{package}.models')
    assert module.__file__ is not None  # it is a package
    model = Config.fromfile(Path(module.__file__).parent / '.mim' / 'configs' / path).model
    _plain(model)
    init_default_scope(package)
    return importlib.import_module(f'{package}.registry').MODELS.build(model)


def _plain(config: Any) -> None:
    """Take out checkpoints and preprocessors; batch norms are not synchronised."""
    if isinstance(config, Mapping):
        for key in ('init_cfg', 'pretrained', 'data_preprocessor'):
            config.pop(key, None)
        if config.get('type') == 'SyncBN':
            config['type'] = 'BN'
    for item in config.values() if isinstance(config, Mapping) else config:
        if isinstance(item, (Mapping, list, tuple)):
            _plain(item)


def half(graph: GraphData) -> dict[str, torch.Tensor]:
    """Choose channels at random, an even share of each unit, for half the MACs."""
    low, high = 0.0, 1.0
    for _ in range(16):
        middle = (low + high) / 2
        keep = random_keep(graph.units, middle, 3)
        macs = graph.macs({name: int(mask.sum()) for name, mask in keep.items()})
        low, high = (middle, high) if macs > graph.total_macs / 2 else (low, middle)
    return random_keep(graph.units, high, 3)


def row(name: str, build: Callable[[], nn.Module], size: tuple[int, int]) -> str:
    """Return a model's line of the table."""
    model = build().eval()
    graph = analyze(model, torch.randn(1, 3, *size), verify=False)
    keep, prover = half(graph), Prover(model, graph, 7)
    left = graph.macs({unit: int(mask.sum()) for unit, mask in keep.items()}) / graph.total_macs
    mismatch = prover.mismatch(keep)
    error = mismatch.text if mismatch else f'{prover.compare(keep)[0]:.0e}'
    return (f'| {name} | {len(graph.units)} | {100 * graph.reachable_share:.1f} | {left:.3f} | '
            f'{error} |')


if __name__ == '__main__':
    import razor_ext  # noqa: F401 (repairs upstream before it is imported)
    torch.set_num_threads(1)
    print('| model | units | reachable % | MACs left | error |\n|---|---|---|---|---|')
    print(row('ViT-B', lambda: timm_model('vit_base_patch16_224', img_size=64), (64, 64)))
    for chosen in sys.argv[1:] or MODELS:
        package, config, image = MODELS[chosen]
        print(row(chosen, lambda p=package, c=config: upstream_model(p, c), image), flush=True)
