"""Compress a model without training: by a checkpoint and a few hundred images."""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
import torch
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmrazor.registry import MODELS

from razor_ext.engine import UnreadKeyError, load_tool_config, write_json
from razor_ext.engine.console import quiet
from razor_ext.graph import GraphError
from razor_ext.posttraining.algorithm import PostTraining
from razor_ext.posttraining.run import compress_without_training
from razor_ext.posttraining.samples import TooFewImagesError, collect_samples
from razor_ext.pruning import TargetMissedError
from razor_ext.quantization import CalibrationError, QuantConfigError
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.folder import FOLDER

#: What was tried and found, in the work directory.
RECORD = 'post_training.json'


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config whose model is a PostTraining')
    parser.add_argument('--work-dir', type=Path, help='folder of the results (default: '
                        'work_dirs/CONFIG)')
    parser.add_argument('--images', type=int, default=512,
                        help='images of the training set to look at (default: 512)')
    parser.add_argument('--seed', type=int, default=0, help='of the images')
    parser.add_argument('--device', help='cpu, cuda, cuda:1 (default: a GPU where there is one)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='override settings of the config, key=value')
    return parser.parse_args()


def compress(cfg: Config, args: argparse.Namespace) -> None:
    """Compress the model of a config, and write its folder and the record."""
    work_dir = args.work_dir or Path('work_dirs', Path(args.config).stem)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    torch.manual_seed(args.seed)
    algorithm = MODELS.build(cfg.model)
    if not isinstance(algorithm, PostTraining):
        raise ValueError(f'{args.config}: model.type={cfg.model.type!r} is trained, by '
                         'tools/train.py; a PostTraining is not')
    config = dense_config(cfg)
    algorithm.init_weights()
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    algorithm.to(device)
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=args.seed)
    began = time.monotonic()
    samples = collect_samples(loader, algorithm.architecture, args.images)
    finished = compress_without_training(algorithm, samples, seed=args.seed,
                                         tell=lambda line: print(line, flush=True))
    finished.compressed.write(work_dir / FOLDER, config)
    write_json(work_dir / RECORD, {**finished.figures, 'seed': args.seed,
                                   'seconds': time.monotonic() - began})
    print(f'the compressed model is in {work_dir / FOLDER}')


def main() -> None:
    """Carry out a command line."""
    args = parse_args()
    quiet()
    MMLogger.get_instance('post_train', log_level='WARNING')
    try:
        compress(load_tool_config(args.config, args.cfg_options), args)
    except (CalibrationError, FileNotFoundError, GraphError, QuantConfigError, TargetMissedError,
            TooFewImagesError, UnreadKeyError, ValueError) as error:
        sys.exit(f'post_train: {error}')


if __name__ == '__main__':
    main()
