"""What compression without training costs in accuracy, beside its rivals and a training.

From one dense checkpoint and some hundred training images, at shares of the MACs and 8 bits:

    dense               as it is, and as static int8
    no training         razor_ext.posttraining: scores, fits, bits
    one-shot L1         uniform L1, batch norms re-estimated; float, and static int8 after
    GETA                trained for --trained epochs or iterations, 8 bits

Seeds are those of the images and of the training. Variants are chosen on a part of the training
images; the test set is looked at once for every row.

    python tools/analysis/compare_post_training.py CONFIG CHECKPOINT --ratios 0.8 0.65 0.5
"""
from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from pathlib import Path

import torch
from benchmark import Benchmark, folder_name
from mmengine.runner import Runner
from recipes import Method
from tables import show_rows
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from razor_ext.posttraining.algorithm import PostTraining
from razor_ext.posttraining.run import compress_without_training
from razor_ext.posttraining.samples import Samples, collect_samples, outputs

#: Metrics by title, and the one whose spread is shown, of the known evaluators.
POSE = ({'AP': 'coco/AP'}, 'AP', '.4f')
GAIT = ({key: f'gait/{key}' for key in ('NM', 'BG', 'CL')}, 'CL', '.1f')
INT8 = dict(weight_bits=(8, 8), activation_bits=(8, 8), weight_granularity='channel',
            weight_power=False)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--ratios', type=float, nargs='+', default=[0.8, 0.65, 0.5],
                        help='shares of the MACs to leave')
    parser.add_argument('--images', type=int, default=512)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--divisor', type=int, default=8)
    parser.add_argument('--trained', type=int, default=0,
                        help='epochs or iterations of GETA, 0 for none')
    parser.add_argument('--lr', type=float, default=5e-4, help='of that training')
    parser.add_argument('--gait', action='store_true', help='a gait model on its three conditions')
    parser.add_argument('--work-dir', default='work_dirs/compare_post_training')
    return parser.parse_args()


def images(bench: Benchmark, count: int) -> Samples:
    """Return the images of a seed."""
    loader = Runner.build_dataloader(copy.deepcopy(bench.cfg.train_dataloader), seed=bench.seed)
    return collect_samples(loader, bench.dense(), count)


def without_training(bench: Benchmark, samples: Samples) -> nn.Module:
    """Compress by `razor_ext.posttraining`."""
    algorithm = PostTraining(copy.deepcopy(bench.cfg.model), checkpoint=bench.checkpoint,
                             target=bench.target, divisor=bench.divisor, quant=INT8)
    algorithm.init_weights()
    finished = compress_without_training(algorithm, samples, seed=bench.seed)
    print(finished.figures['variants'], finished.figures['chosen'])
    return finished.compressed.model


def one_shot_l1(bench: Benchmark, samples: Samples) -> nn.Module:
    """Cut by uniform L1, and re-estimate the statistics of batch norms on the images."""
    from mmrazor.registry import MODELS
    algorithm = MODELS.build(dict(
        type='mmrazor.L1Pruning', architecture=copy.deepcopy(bench.cfg.model),
        checkpoint=bench.checkpoint, target=bench.target, divisor=bench.divisor))
    algorithm.init_weights()
    algorithm.prune_at(1.0)
    model = algorithm.compressed().model
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    with torch.no_grad():
        for batch in (*samples.fit, *samples.held):
            outputs(model, batch)
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()


def main() -> None:
    """Run every row on every seed; print the table after each, and keep the figures."""
    args = parse_args()
    torch.set_num_threads(1)
    metrics, spread, style = GAIT if args.gait else POSE
    formats = {**dict.fromkeys(metrics, style), 'MACs': '.3f', 'relative BOPs': '.4f'}
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)

    def add(name: str, bench: Benchmark, model: nn.Module) -> None:
        model.init_weights = lambda: None
        rows[name].append(bench.test(model))
        show_rows(rows, formats, spread, args.work_dir)

    for seed in args.seeds:
        for ratio in args.ratios:
            def bench_of(name: str, ratio: float = ratio, seed: int = seed) -> Benchmark:
                return Benchmark(
                    args.config, args.checkpoint, Path(args.work_dir) / folder_name(seed, name),
                    max(args.trained, 1), args.lr, dict(kind='macs', ratio=ratio), metrics,
                    args.divisor, seed, relative_params=True)

            bench = bench_of(f'test {ratio}')
            samples = images(bench, args.images)
            if ratio == args.ratios[0]:
                if not rows['dense']:
                    add('dense', bench, bench.dense())
                add('dense, static int8', bench, bench.static_int8(bench.dense()))
            add(f'{ratio:g}: no training', bench, without_training(bench, samples))
            plain = one_shot_l1(bench, samples)
            add(f'{ratio:g}: one-shot L1', bench, plain)
            add(f'{ratio:g}: one-shot L1, int8', bench, bench.static_int8(plain))
            if args.trained:
                trained = bench_of(f'geta {ratio}')
                add(f'{ratio:g}: GETA trained', trained, trained.compress(Method('geta', dict(
                    quant=dict(weight_bits=(6, 8), activation_bits=(8, 8))))))


if __name__ == '__main__':
    main()
