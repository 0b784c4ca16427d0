"""Convert an official OpenGait checkpoint to ours, or ours to an official one."""
from __future__ import annotations

import argparse

from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader

import razor_ext  # noqa: F401  (registers the models)
from razor_ext.gait.checkpoint import (
    CheckpointError,
    from_official,
    load_official,
    save_atomically,
    to_official,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model')
    parser.add_argument('source', help='checkpoint to read')
    parser.add_argument('target', help='checkpoint to write')
    parser.add_argument('--to-official', action='store_true', help='write an official checkpoint')
    parser.add_argument('--num-classes', type=int,
                        help='training subjects, where they are not those of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.num_classes is not None:
        cfg.model.head.num_classes = args.num_classes
    try:
        model = MODELS.build(cfg.model)
        if args.to_official:
            checkpoint = CheckpointLoader.load_checkpoint(args.source, map_location='cpu')
            iteration = checkpoint.get('meta', {}).get('iter', 0)
            content = {'model': to_official(model, checkpoint['state_dict']),
                       'iteration': iteration}
        else:
            state = from_official(model, load_official(args.source))
            content = {'meta': {'config': args.config}, 'state_dict': state}
        save_atomically(content, args.target)
    except (CheckpointError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(args.target)


if __name__ == '__main__':
    main()
