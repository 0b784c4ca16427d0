"""Evaluate a checkpoint, or the compressed folder of a run, on the test set of a config."""
from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from razor_ext.engine import UnreadKeyError, check_config, write_json
from razor_ext.engine.console import quiet
from razor_ext.engine.errors import RunError
from razor_ext.engine.launch import add_common_arguments, build_runner, leave_group, load_config
from razor_ext.engine.rank_errors import told_once
from razor_ext.structure import StructureError, load_compressed


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMPose's tools/test.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument('checkpoint', nargs='?',
                        help='checkpoint file; not needed where `config` is the compressed folder '
                        'of a run, or its work directory')
    parser.add_argument('--out', help='the file to save metric results, JSON')
    parser.add_argument('--dump', help='the .pkl file to dump predictions for offline evaluation')
    return parser.parse_args()


class MetricsFileHook(Hook):
    """Writes the figures of a test as soon as they are known, before any hook that may fail.

    Args:
        path: the JSON file.
    """

    priority = 'VERY_HIGH'

    def __init__(self, path: str) -> None:
        self.path = path

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write them, from the first rank."""
        if runner.rank == 0:
            write_json(self.path, metrics)


def load(args: argparse.Namespace) -> Config:
    """Load the config of a command line, or that of a compressed folder.

    Args:
        args: parsed command line.

    Raises:
        FileNotFoundError: config or checkpoint does not exist.
        StructureError: the folder cannot be read.
        ValueError: no checkpoint is given for a config.
    """
    if args.checkpoint is not None and '://' not in args.checkpoint \
            and not os.path.isfile(args.checkpoint):
        raise FileNotFoundError(f'checkpoint {args.checkpoint!r} does not exist')
    if not os.path.isdir(args.config):
        if args.checkpoint is None:
            raise ValueError(f'give the checkpoint to test {args.config!r} with, or the compressed '
                             'folder of a run alone')
        cfg = load_config(args)
    else:
        folder = load_compressed(args.config)
        # With another checkpoint of the run, the Runner loads the weights.
        model = folder.run_config(**({} if args.checkpoint is None else {'checkpoint': None})).model
        options, args.cfg_options = args.cfg_options, None
        args.config = folder.config.filename
        cfg = load_config(args, extra_keys=tuple(folder.config))
        cfg.model = model
        check_config(cfg, folder.config, options)
        cfg.merge_from_dict(options or {})
    cfg.load_from = args.checkpoint
    return cfg


def run(args: argparse.Namespace) -> None:
    """Run the evaluation.

    Args:
        args: parsed command line.

    Raises:
        ValueError: the predictions cannot be dumped into such a file.
    """
    cfg = load(args)
    if args.dump is not None:
        if Path(args.dump).suffix not in ('.pkl', '.pickle'):
            raise ValueError(f'--dump needs a .pkl file, got {args.dump!r}')
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    runner = build_runner(cfg)
    if args.out is not None:
        runner.register_hook(MetricsFileHook(args.out))
    runner.test()
    leave_group()


def main() -> None:
    """Run the evaluation that the command line asks for."""
    args = parse_args()
    quiet()
    try:
        with told_once():
            run(args)
    except (RunError, StructureError, UnreadKeyError) as error:
        sys.exit(f'test: {error}')


if __name__ == '__main__':
    main()
