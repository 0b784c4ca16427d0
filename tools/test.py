"""Evaluate a checkpoint on the test set of a config."""
from __future__ import annotations

import argparse
from pathlib import Path

import razor_ext  # noqa: F401  repairs of upstream come before its import
from razor_ext.engine import write_json
from razor_ext.engine.launch import add_common_arguments, build_runner, leave_group, load_config


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMPose's tools/test.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_common_arguments(parser)
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', help='the file to save metric results, JSON')
    parser.add_argument('--dump', help='the .pkl file to dump predictions for offline evaluation')
    return parser.parse_args()


def main() -> None:
    """Run the evaluation that the command line asks for."""
    args = parse_args()
    if '://' not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'checkpoint {args.checkpoint!r} does not exist')
    cfg = load_config(args)
    cfg.load_from = args.checkpoint
    if args.dump is not None:
        if Path(args.dump).suffix not in ('.pkl', '.pickle'):
            raise ValueError(f'--dump needs a .pkl file, got {args.dump!r}')
        evaluators = cfg.test_evaluator
        evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
        cfg.test_evaluator = [*evaluators, dict(type='DumpResults', out_file_path=args.dump)]
    runner = build_runner(cfg)
    metrics = runner.test()
    if args.out is not None and runner.rank == 0:
        write_json(args.out, metrics)
    leave_group()


if __name__ == '__main__':
    main()
