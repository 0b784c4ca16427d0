"""Compare compression methods at equal MACs and equal training, from one dense checkpoint.

Every method trains for the same number of epochs after the dense model: GETA and HESSO prune within
them, GroupFisher prunes in the first half and is finetuned in the second, uniform L1 and
Torch-Pruning cut at once and are finetuned. What is pruned in float is then also quantized after
training, to static 8 bits.

    python tools/analysis/compare_methods.py CONFIG CHECKPOINT --ratio 0.5 --seeds 0 1 2 --epochs 5
"""
from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from benchmark import Benchmark, folder_name
from recipes import Method
from rivals import torch_pruning
from tables import show_rows

from razor_ext.algorithms.geta.saliency import PUBLISHED

METRICS = {'AP': 'coco/AP'}
FORMATS = {'AP': '.4f', 'MACs': '.3f', 'relative BOPs': '.4f', 'params': '.0f'}
HESSO = dict(optimizer=dict(type='HESSO', variant='adamw'), saliency=dict(weights=PUBLISHED))
#: The rate of GroupFisher's pruning run, over that of training.
FISHER = dict(lr_ratio=0.3)

METHODS: dict[str, Method] = {
    'dense': Method(trained=False, int8=True),
    'dense, trained on': Method(int8=True),
    'GETA 8 bit': Method('geta', dict(quant=dict(weight_bits=(6, 8), activation_bits=(8, 8)))),
    'GETA 4 bit': Method('geta', dict(quant=dict(weight_bits=(3, 5), activation_bits=(4, 5)))),
    'GETA prune': Method('geta', dict(quant=None), int8=True),
    'HESSO': Method('geta', dict(quant=None), HESSO, int8=True),
    'GroupFisher': Method('group_fisher', optim=FISHER, prune=0.5, int8=True),
    'GroupFisher (MMRazor)': Method('group_fisher_mmrazor', optim=FISHER, prune=0.5, int8=True),
    'uniform L1': Method('l1', int8=True),
    'Taylor': Method('taylor', int8=True),
    'random': Method('random', seeded=True, int8=True),
    'Torch-Pruning': Method(cut=torch_pruning, int8=True),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--ratio', type=float, default=0.5, help='share of the MACs to leave')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='paired seeds')
    parser.add_argument('--epochs', type=int, default=5, help='training after the dense model')
    parser.add_argument('--lr', type=float, default=5e-4)
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--work-dir', default='work_dirs/compare_methods')
    parser.add_argument('--num-images', type=int, help='fewer training images')
    return parser.parse_args()


def image_options(num_images: int | None) -> dict[str, int]:
    """Return the changes to a config for a number of training images; None changes nothing."""
    return {'train_dataloader.dataset.num_images': num_images} if num_images else {}


def main() -> None:
    """Run every method on every seed; print the table after each, and keep the figures."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in args.seeds:
        for name in args.methods:
            bench = Benchmark(
                args.config, args.checkpoint, Path(args.work_dir) / folder_name(seed, name),
                args.epochs, args.lr, dict(kind='macs', ratio=args.ratio), METRICS, seed=seed,
                options=image_options(args.num_images))
            model = bench.compress(METHODS[name])
            rows[name].append(bench.test(model))
            if METHODS[name].int8:
                rows[f'{name}, int8 after'].append(bench.test(bench.static_int8(model)))
            show_rows(rows, FORMATS, 'AP', args.work_dir)


if __name__ == '__main__':
    main()
