"""GroupFisher over the units of the whole model against those of the backbone alone.

Both prune by the dependency graph to the same share of the MACs and finetune alike; the second
keeps the layers of the head whole. Paired: the same seeds, batches and dense model.
"""
from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from pathlib import Path

import torch
from compare_methods import FORMATS, Bench, format_rows
from torch import nn

import razor_ext  # noqa: F401  repairs of upstream come before its import
from razor_ext.engine import write_json


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--keep', nargs='+',
                        default=['head.mlp', 'head.gau', 'head.cls_x', 'head.cls_y'],
                        help='layers that the second leaves whole')
    parser.add_argument('--ratio', type=float, default=0.5, help='share of the MACs to leave')
    parser.add_argument('--seeds', type=int, default=3, help='paired seeds')
    parser.add_argument('--prune-epochs', type=int, default=2)
    parser.add_argument('--finetune-epochs', type=int, default=3)
    parser.add_argument('--lr', type=float, default=5e-4)
    parser.add_argument('--work-dir', default='work_dirs/compare_head_units')
    parser.add_argument('--num-images', type=int, help='fewer training images')
    return parser.parse_args()


def compress(bench: Bench, keep: list[str]) -> nn.Module:
    """Prune and finetune.

    Args:
        bench: of a seed.
        keep: layers to leave whole.
    """
    from mmrazor.registry import MODELS
    args = bench.args
    model = dict(
        type='mmrazor.GroupFisher', architecture=bench.architecture, divisor=8, keep=keep,
        target=dict(kind='macs', ratio=args.ratio), schedule=dict(end=0.8, interval=10))
    hooks = [dict(type='mmrazor.PruningHook')]
    run = bench.runner(model, args.prune_epochs, dict(type='AdamW', lr=args.lr * 0.3), hooks)
    run.train()
    pruned = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=run.work_dir))
    return bench.finetune(pruned, args.finetune_epochs)


def main() -> None:
    """Run both on every seed; print the table and the paired differences after each."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(args.seeds):
        for turn, (name, keep) in enumerate((('whole model', []), ('backbone', args.keep))):
            bench = Bench(args, seed)
            bench.turn = 100 * turn
            rows[name].append(bench.test(compress(bench, keep)))
            write_json(Path(args.work_dir) / 'figures.json', rows)
        gains = [whole['AP'] - part['AP'] for whole, part in zip(*rows.values())]
        print(format_rows(rows, FORMATS, 'AP'), flush=True)
        print(f'AP of the whole model less the backbone: mean {statistics.mean(gains):+.4f}; '
              + ', '.join(f'{gain:+.4f}' for gain in gains), flush=True)


if __name__ == '__main__':
    main()
