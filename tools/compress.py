"""Compress a model: from its stock config and a checkpoint to a tested, deployed file.

The dense model is tested, compressed, finetuned, tested and deployed, each step by the tool that
does it alone, over short configs that are written into the work directory. The same command again
goes on where it was ended.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.config import Config

from razor_ext.engine import UnreadKeyError
from razor_ext.engine.console import quiet
from razor_ext.engine.families import find_pruned_as
from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import ConfigFileError, read_config
from razor_ext.workflow.conclusion import conclude
from razor_ext.workflow.configs import write_configs, write_dense
from razor_ext.workflow.datasets import DATA_KEYS
from razor_ext.workflow.dry_run import describe
from razor_ext.workflow.model import build_dense, deploy_config, first_sample
from razor_ext.workflow.pipeline import last_run, lengths, plan_steps
from razor_ext.workflow.request import Request, RequestError, methods, parse_bits, parse_target
from razor_ext.workflow.steps import Record, StepError, run_steps


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the dense model: a file, or package::path')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--method', default='geta', help=f'one of {", ".join(methods())}')
    parser.add_argument('--target', default='macs=0.5', metavar='KIND=SHARE',
                        help='what to leave of macs, params, bops, or to prune as sparsity '
                        '(default: macs=0.5)')
    parser.add_argument('--bits', default='4-8', metavar='LOW-HIGH',
                        help="bit widths that GETA chooses from; 'none' leaves the model float "
                        '(default: 4-8)')
    parser.add_argument('--divisor', type=int, default=8,
                        help='channel counts are multiples of it (default: 8)')
    parser.add_argument('--epochs', type=int,
                        help='epochs of the compressing run, schedules scaled to it (default: '
                        'those of the dense training)')
    parser.add_argument('--finetune-epochs', type=int,
                        help='epochs of the finetune run, 0 for none (default: --epochs)')
    parser.add_argument('--iters', type=int,
                        help='iterations of the compressing run, where the dense training is '
                        'counted in iterations (default: those of the dense training)')
    parser.add_argument('--finetune-iters', type=int,
                        help='iterations of the finetune run, 0 for none (default: --iters)')
    parser.add_argument('--lr-ratio', type=float,
                        help="factor on the dense learning rate (default: the method's)")
    parser.add_argument('--distill', action='store_true',
                        help='learn from the dense model in both trainings')
    parser.add_argument('--backend', default='onnxruntime',
                        help='onnxruntime, openvino, ncnn or tensorrt (default: onnxruntime)')
    parser.add_argument('--gpus', type=int, default=0,
                        help='processes of a training, one a GPU (default: one process)')
    parser.add_argument('--data-root', help='folder of your own data set, in COCO format')
    for part in ('train', 'val'):
        parser.add_argument(f'--{part}-ann', help='annotation file, below --data-root')
        parser.add_argument(f'--{part}-images', help='folder of its images, below --data-root')
    parser.add_argument('--image', help='input that the exporter traces (default: the first one of '
                        'the validation set)')
    parser.add_argument('--work-dir', type=Path, help='folder of the results (default: '
                        'work_dirs/compress_METHOD_NAME)')
    parser.add_argument('--dry-run', action='store_true',
                        help='say what would be done, what would be left, and how long it takes')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to data, loaders and schedule of the dense config, key=value')
    return parser.parse_args()


def read_request(args: argparse.Namespace) -> Request:
    """Return the request of a command line."""
    return Request(
        config=args.config, checkpoint=args.checkpoint, method=args.method,
        target=parse_target(args.target), bits=parse_bits(args.bits), divisor=args.divisor,
        epochs=args.epochs, finetune_epochs=args.finetune_epochs, iters=args.iters,
        finetune_iters=args.finetune_iters, lr_ratio=args.lr_ratio,
        distill=args.distill,
        backend=args.backend, gpus=args.gpus, image=args.image, options=args.cfg_options,
        data={key: getattr(args, key) for key in DATA_KEYS if getattr(args, key) is not None})


def name(config: str) -> str:
    """Return the name of a config without folder and suffix."""
    return Path(config.rpartition('::')[2]).stem


def main() -> None:
    """Carry out a request."""
    args = parse_args()
    quiet()
    try:
        request = read_request(args)
        stock = read_config(args.config)
        work_dir = args.work_dir or Path('work_dirs', f'compress_{args.method}_{name(args.config)}')
        record = Record(work_dir, request.as_dict())
        dense = write_dense(request, stock, work_dir)
        cfg = Config.fromfile(dense)
        model = build_dense(cfg)
        deployment = deploy_config(model, request)
        image = request.image or first_sample(cfg)
        files = write_configs(request, dense, deployment, work_dir, find_pruned_as(model))
        epochs = lengths(request, cfg.train_cfg)
        if args.dry_run:
            print(describe(files.prune, epochs[1] / epochs[0]))
            return
        run_steps(plan_steps(request, files, image, work_dir, epochs), record, work_dir / 'logs')
        table, page = conclude(work_dir, last_run(work_dir, epochs))
        print(f'{table}\nthe report is {page}')
    except (ConfigFileError, FileNotFoundError, RequestError, StepError, UnreadKeyError) as error:
        sys.exit(f'compress: {error}')


if __name__ == '__main__':
    main()
