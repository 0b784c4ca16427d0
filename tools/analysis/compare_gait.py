"""Compare ways to compress a gait model at equal MACs and equal training, from one checkpoint.

Every method trains for the same number of iterations after the dense model: GETA prunes (and
quantizes) within them; uniform L1, Taylor and random masks cut at once and are finetuned.

    python tools/analysis/compare_gait.py CONFIG CHECKPOINT --ratio 0.5 --seeds 0 1 2 --iters 400
"""
from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import torch
from benchmark import Benchmark, folder_name
from recipes import Method
from tables import show_rows

CONDITIONS = ('NM', 'BG', 'CL')
METRICS = {key: f'gait/{key}' for key in CONDITIONS}
FORMATS = {**dict.fromkeys(CONDITIONS, '.1f'), 'MACs': '.3f', 'params': '.3f',
           'relative BOPs': '.4f'}

METHODS: dict[str, Method] = {
    'dense': Method(trained=False),
    'GETA 8 bit': Method('geta', dict(quant=dict(weight_bits=(6, 8), activation_bits=(8, 8)))),
    'GETA prune': Method('geta', dict(quant=None)),
    'GroupFisher': Method('group_fisher', optim=dict(lr_ratio=0.3), prune=0.5),
    'uniform L1': Method('l1'),
    'Taylor': Method('taylor'),
    'random': Method('random', seeded=True),
    'dense, trained on': Method(),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    target = parser.add_mutually_exclusive_group()
    target.add_argument('--ratio', type=float, default=0.5, help='share of the MACs to leave')
    target.add_argument('--sparsity', type=float, help='share of all channels that GETA prunes; '
                        'the others get the MACs that the first method, one of GETA, left')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='paired seeds')
    parser.add_argument('--iters', type=int, default=400, help='training after the dense model')
    parser.add_argument('--lr', type=float, default=0.02)
    parser.add_argument('--divisor', type=int, default=4)
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--work-dir', default='work_dirs/compare_gait')
    args = parser.parse_args()
    if args.sparsity and METHODS[args.methods[0]].recipe != 'geta':
        parser.error(f'--sparsity {args.sparsity} is for GETA: name one of its methods first in '
                     f'--methods, not {args.methods[0]!r}')
    return args


def main() -> None:
    """Run every method on every seed; print the table after each, and keep the figures."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in args.seeds:
        ratio = args.ratio
        for name in args.methods:
            if name == 'dense' and rows[name]:
                continue
            target = dict(kind='macs', ratio=ratio)
            if args.sparsity and METHODS[name].recipe == 'geta':
                target = dict(kind='sparsity', ratio=args.sparsity)
            # Pruning counts the classifier's channels in; the figures are of what is deployed.
            bench = Benchmark(
                args.config, args.checkpoint, Path(args.work_dir) / folder_name(seed, name),
                args.iters, args.lr, target, METRICS, args.divisor, seed, relative_params=True,
                options={'model.tensor_output': 'logits'})
            rows[name].append(bench.test(bench.compress(METHODS[name])))
            if args.sparsity and name == args.methods[0]:
                ratio = rows[name][-1]['MACs']
            show_rows(rows, FORMATS, 'CL', args.work_dir)


if __name__ == '__main__':
    main()
