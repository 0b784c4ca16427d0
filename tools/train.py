"""Train, prune or finetune a model from a config."""
from __future__ import annotations

import argparse
import sys

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.config import Config

from razor_ext.engine import UnreadKeyError
from razor_ext.engine.console import quiet
from razor_ext.engine.errors import RunError
from razor_ext.engine.launch import (
    add_common_arguments,
    build_runner,
    check_precision,
    load_config,
)
from razor_ext.engine.lock import FolderInUseError
from razor_ext.engine.rank_errors import told_once
from razor_ext.engine.running import train
from razor_ext.engine.scalars import add_tensorboard
from razor_ext.structure import StructureError


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMPose's tools/train.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument(
        '--resume', nargs='?', const='auto',
        help='resume from this checkpoint; without a value, from the latest in the work directory')
    parser.add_argument('--amp', action='store_true', help='train with automatic mixed precision')
    parser.add_argument('--no-validate', action='store_true',
                        help='do not evaluate checkpoints during training')
    parser.add_argument('--tensorboard', action='store_true',
                        help='write the scalars of the log for TensorBoard too')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate by actual over original batch size')
    return parser.parse_args()


def merge_args(cfg: Config, args: argparse.Namespace) -> None:
    """Apply the options of training to a config.

    Args:
        cfg: the config.
        args: parsed command line.

    Raises:
        ValueError: the optimizer wrapper cannot be replaced by a mixed-precision one.
    """
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
        if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
            raise ValueError(f'--amp cannot replace optim_wrapper of type {kind!r}; '
                             'set its mixed precision in the config')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.tensorboard:
        add_tensorboard(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise ValueError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) '
                             'in the config')
        cfg.auto_scale_lr.enable = True


def main() -> None:
    """Run the training that the command line asks for.

    SIGTERM and SIGINT save a checkpoint, and end it with status 75.
    """
    args = parse_args()
    quiet()
    try:
        with told_once(FolderInUseError):
            cfg = load_config(args)
            merge_args(cfg, args)
            check_precision(cfg)
            train(build_runner(cfg))
    except (FolderInUseError, RunError, StructureError, UnreadKeyError) as error:
        sys.exit(f'train: {error}')


if __name__ == '__main__':
    main()
