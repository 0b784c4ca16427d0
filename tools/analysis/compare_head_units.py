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
from benchmark import Benchmark, folder_name
from compare_methods import FISHER, FORMATS, METRICS, image_options
from recipes import Method
from tables import show_rows


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


def main() -> None:
    """Run both on every seed; print the table and the paired differences after each."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in range(args.seeds):
        for name, keep in (('whole model', []), ('backbone', args.keep)):
            bench = Benchmark(
                args.config, args.checkpoint, Path(args.work_dir) / folder_name(seed, name),
                args.prune_epochs + args.finetune_epochs, args.lr,
                dict(kind='macs', ratio=args.ratio), METRICS, seed=seed,
                options=image_options(args.num_images))
            pruned = bench.prune(Method('group_fisher', dict(keep=keep), FISHER),
                                 args.prune_epochs)
            rows[name].append(bench.test(bench.finetune(pruned, args.finetune_epochs)))
        gains = [whole['AP'] - part['AP'] for whole, part in zip(*rows.values())]
        show_rows(rows, FORMATS, 'AP', args.work_dir)
        print(f'AP of the whole model less the backbone: mean {statistics.mean(gains):+.4f}; '
              + ', '.join(f'{gain:+.4f}' for gain in gains), flush=True)


if __name__ == '__main__':
    main()
