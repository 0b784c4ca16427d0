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

from razor_ext.engine import UnreadKeyError
from razor_ext.engine.console import quiet
from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import ConfigFileError, read_config
from razor_ext.report.runs import write_runs
from razor_ext.workflow.datasets import DATA_KEYS
from razor_ext.workflow.dry_run import describe
from razor_ext.workflow.request import (
    IMAGES,
    POST_TRAINING,
    SCORED,
    Request,
    RequestError,
    methods,
    parse_bits,
    parse_shares,
    parse_target,
)
from razor_ext.workflow.run import Prepared, at_share, carry_out, prepare, run_dense
from razor_ext.workflow.search import Search
from razor_ext.workflow.steps import Record, StepError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the dense model: a file, or package::path')
    parser.add_argument('checkpoint', help='its weights')
    parser.add_argument('--method', help=f'one of {", ".join(methods())} (default: geta). With '
                        f'--epochs 0, one of {", ".join(SCORED)} prunes by its scores alone; '
                        'default: by what does best on a part of the images')
    parser.add_argument('--target', default='macs=0.5', metavar='KIND=SHARE',
                        help='what to leave of macs, params, bops, or to prune as sparsity '
                        '(default: macs=0.5)')
    parser.add_argument('--bits', default='4-8', metavar='LOW-HIGH',
                        help="bit widths that GETA chooses from, and --epochs 0; 'none' leaves the "
                        'model float (default: 4-8)')
    parser.add_argument('--mean-bits', type=float, metavar='BITS',
                        help='with --epochs 0: as many bit operations as this width everywhere, '
                        'bits by sensitivity (default: the most bits everywhere)')
    parser.add_argument('--divisor', type=int, default=8,
                        help='channel counts are multiples of it (default: 8)')
    parser.add_argument('--epochs', type=int,
                        help='epochs of the compressing run, schedules scaled to it (default: '
                        'those of the dense training); 0 compresses without training')
    parser.add_argument('--images', type=int,
                        help='images of the training set that compression without training looks '
                        f'at (default: {IMAGES})')
    several = parser.add_mutually_exclusive_group()
    several.add_argument('--max-drop', type=float, metavar='POINTS',
                         help='search for the smallest share of the target whose exported file '
                         'loses at most so many points on the validation set')
    several.add_argument('--pareto', metavar='SHARES',
                         help='several shares of the target, e.g. 0.7,0.5,0.3, each in a folder of '
                         'its own, and one plot')
    parser.add_argument('--metric', help='metric that --max-drop and --pareto judge by (default: '
                        'the first of the evaluation)')
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
    parser.add_argument('--activation', help='cheaper activation, e.g. ReLU, that SiLU and the '
                        'like become while the compressing run trains')
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
    if args.metric is not None and args.max_drop is None and args.pareto is None:
        raise RequestError('--metric is read by --max-drop and --pareto')
    if args.max_drop is not None and args.max_drop < 0:
        raise RequestError(f'--max-drop {args.max_drop}: give the points that may be lost')
    trains = 0 not in (args.epochs, args.iters)
    if args.images is not None and trains and args.max_drop is None:
        raise RequestError(f'--images {args.images} is read by --epochs 0 and --max-drop')
    if args.lr_ratio is not None and not trains and not (
            args.finetune_epochs or args.finetune_iters):
        raise RequestError(f'--lr-ratio {args.lr_ratio}: nothing is trained with --epochs 0')
    default = 'geta' if trains else POST_TRAINING
    return Request(
        config=args.config, checkpoint=args.checkpoint, method=args.method or default,
        target=parse_target(args.target), bits=parse_bits(args.bits), divisor=args.divisor,
        epochs=args.epochs, finetune_epochs=args.finetune_epochs, iters=args.iters,
        finetune_iters=args.finetune_iters, lr_ratio=args.lr_ratio,
        distill=args.distill, activation=args.activation, images=args.images or IMAGES,
        mean_bits=args.mean_bits, validate=args.max_drop is not None,
        backend=args.backend, gpus=args.gpus, image=args.image, options=args.cfg_options,
        data={key: getattr(args, key) for key in DATA_KEYS if getattr(args, key) is not None})


def name(config: str) -> str:
    """Return the name of a config without folder and suffix."""
    return Path(config.rpartition('::')[2]).stem


def result(prepared: Prepared, record: Record, args: argparse.Namespace) -> str:
    """Carry out a request as often as the command line asks; returns what to say at the end."""
    kind = prepared.request.target[0]
    if args.max_drop is not None:
        found = Search(prepared, record, args.max_drop, args.metric).run()
        lost = found['finished'][str(found['share'])]
        folder = prepared.work_dir / f'{kind}-{found["share"]:g}'
        return (f'{kind}={found["share"]:g} is the smallest that was found: the exported file '
                f'loses {lost:.2f} points of {found["metric"]}; it is in {folder}')
    if args.pareto is not None:
        dense = run_dense(prepared, record)
        documents = {f'{kind}={share:g}': at_share(prepared, share, dense)
                     for share in parse_shares(args.pareto)}
        table, page = write_runs(documents, prepared.work_dir, args.metric)
    else:
        table, page = carry_out(prepared, record)
    return f'{table}\nthe report is {page}'


def main() -> None:
    """Carry out a request."""
    args = parse_args()
    quiet()
    try:
        request = read_request(args)
        stock = read_config(args.config)
        work_dir = args.work_dir or Path('work_dirs',
                                         f'compress_{request.method}_{name(args.config)}')
        record = Record(work_dir, request.as_dict())
        prepared = prepare(request, stock, work_dir)
        if args.dry_run:
            prune, finetune = prepared.epochs
            print(describe(prepared.files.prune, finetune / prune if prune else 0.0))
            return
        print(result(prepared, record, args))
    except (ConfigFileError, FileNotFoundError, RequestError, StepError, UnreadKeyError) as error:
        sys.exit(f'compress: {error}')


if __name__ == '__main__':
    main()
