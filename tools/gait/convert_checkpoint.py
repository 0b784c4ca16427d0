"""Convert an official OpenGait checkpoint to ours, or ours to an official one."""
from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.registry import MODELS

import razor_ext  # noqa: F401  (registers the models)
from razor_ext.engine.tool_config import load_tool_config
from razor_ext.gait.checkpoint import (
    CheckpointError,
    from_official,
    load_official,
    load_own,
    save_atomically,
    to_official,
)
from razor_ext.gait.models import GaitRecognizer


def subjects(text: str) -> int:
    """Number of an option that counts training subjects."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'must be a whole number of at least 1, not {text!r}')
    return int(text)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('source', help='checkpoint to read')
    parser.add_argument('target', help='checkpoint to write')
    parser.add_argument('--to-official', action='store_true', help='write an official checkpoint')
    parser.add_argument('--num-classes', type=subjects,
                        help='training subjects, where they are not those of the config')
    return parser.parse_args()


def build_model(path: str, num_classes: int | None) -> GaitRecognizer:
    """Build the gait recogniser of a config.

    Raises:
        CheckpointError: If the config cannot be read, or is of no such model.
    """
    try:
        cfg = load_tool_config(path)
    except Exception as error:  # a config is code, and can raise anything
        raise CheckpointError(f'{path}: no config: {type(error).__name__}: {error}') from error
    if not isinstance(cfg.get('model'), dict) or not isinstance(cfg.model.get('head'), dict):
        raise CheckpointError(f'{path}: no config of a gait recogniser: it has no model with a '
                              'head. tools/gait/convert_config.py makes one of an OpenGait YAML')
    if num_classes is not None:
        cfg.model.head.num_classes = num_classes
    try:
        model = MODELS.build(cfg.model)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f'{path}: its model cannot be built: {error}') from error
    if not isinstance(model, GaitRecognizer):
        raise CheckpointError(f'{path}: its model is {type(model).__name__}, no gait recogniser')
    return model


def main() -> None:
    args = parse_args()
    try:
        if Path(args.source).resolve() == Path(args.target).resolve():
            raise CheckpointError(f'{args.target}: would replace the checkpoint that is read')
        model = build_model(args.config, args.num_classes)
        if args.to_official:
            state, iteration = load_own(args.source)
            content = {'model': to_official(model, state), 'iteration': iteration}
        else:
            state = from_official(model, load_official(args.source))
            content = {'meta': {'config': args.config}, 'state_dict': state}
        save_atomically(content, args.target)
    except (CheckpointError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(args.target)


if __name__ == '__main__':
    main()
