"""Training throughput under GroupFisher: this package's beside MMRazor's own, in one run."""
from __future__ import annotations

import argparse
import copy
from collections.abc import Callable

import razor_ext  # noqa: F401  repairs of upstream come before its import

# isort: split
import torch
from mmengine import MessageHub
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmrazor.implementations.pruning.group_fisher import algorithm as upstream_algorithm
from mmrazor.implementations.pruning.group_fisher import mutator as upstream_mutator
from mmrazor.implementations.pruning.group_fisher import unit as upstream_unit
from mmrazor.models.task_modules.demo_inputs import DefaultDemoInput
from mmrazor.models.task_modules.estimators import ResourceEstimator
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.deploy.latency import Spread, interleave, speedups
from razor_ext.engine import load_tool_config

INTERVAL = 10


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='a GroupFisher prune config')
    parser.add_argument('--batch', type=int, default=8, help='samples per iteration')
    parser.add_argument('--rounds', type=int, default=5,
                        help=f'interleaved rounds of {INTERVAL} iterations')
    return parser.parse_args()


def batch_of(size: int, input_size: tuple[int, int], keypoints: int) -> dict:
    """Return a batch of noise with the labels that RTMPose's loss reads."""
    from mmpose.testing import get_packed_inputs
    return get_packed_inputs(size, num_keypoints=keypoints, img_shape=input_size[::-1],
                             input_size=input_size, with_heatmap=False, with_reg_label=False)


def upstream(architecture: dict) -> nn.Module:
    """Return MMRazor's own algorithm over a fresh model."""
    return upstream_algorithm.GroupFisherAlgorithm(
        MODELS.build(copy.deepcopy(architecture)), interval=INTERVAL,
        mutator=dict(type=upstream_mutator.GroupFisherChannelMutator,
                     channel_unit_cfg=upstream_unit.GroupFisherChannelUnit))


def training(model: nn.Module, data: dict, hub: MessageHub,
             check: Callable[[], object] | None) -> Callable[[], None]:
    """Return a callable that trains for one pruning interval.

    Args:
        model: an algorithm.
        data: the batch.
        hub: where the algorithms look for the iteration.
        check: MMRazor's look at the FLOPs, once per interval.
    """
    optimizer = OptimWrapper(torch.optim.AdamW(model.parameters(), lr=1e-5))
    model.train()

    def run() -> None:
        for iteration in range(INTERVAL):
            hub.update_info('iter', iteration)
            model.train_step(data, optimizer)
        if check is not None:
            check()
            model.train()

    return run


def main() -> None:
    """Print the ratios."""
    args = parse_args()
    cfg = load_tool_config(args.config)
    init_default_scope('mmrazor')
    hub = MessageHub.get_instance('throughput')
    hub.update_info('max_iters', 10**6)
    decoder = cfg.model.architecture.head.decoder
    data = batch_of(args.batch, tuple(decoder.input_size), cfg.model.architecture.head.out_channels)
    demo = DefaultDemoInput((1, 3, *decoder.input_size[::-1]))
    ours_cfg = copy.deepcopy(cfg.model)
    ours_cfg.update(interval=INTERVAL, target_flop_ratio=None)
    ours = MODELS.build(ours_cfg)
    ours.measure_resource(demo)
    theirs = upstream(cfg.model.architecture)
    estimator = ResourceEstimator()

    def check() -> object:
        return estimator.estimate(theirs, flops_params_cfg=dict(
            input_shape=demo.input_shape, input_constructor=lambda _: demo.get_data(theirs)))

    seconds = interleave({'MMRazor': training(theirs, data, hub, check),
                          'razor_ext': training(ours, data, hub, ours.mutator.current_ratio)},
                         args.rounds, warmup=1)
    for name, values in seconds.items():
        print(f'{name}: {Spread.of(values).scaled(1 / INTERVAL):.3f} s per iteration')
    print(f'throughput, razor_ext over MMRazor: {speedups(seconds, "MMRazor")["razor_ext"]:.3f} '
          '(min / median / max)')


if __name__ == '__main__':
    main()
