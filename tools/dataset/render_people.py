"""Render a COCO-format data set of synthetic people, with 17 and 26 keypoints."""
from __future__ import annotations

import argparse

from razor_ext.engine.option_action import OptionAction
from razor_ext.pose import ensure_people


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='data/people', help='folder of the data sets')
    parser.add_argument('--train', type=int, default=8000, help='scenes to train on, 0 for none')
    parser.add_argument('--val', type=int, default=500, help='scenes to judge by, 0 for none')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--scene', nargs='+', action=OptionAction, default=None, metavar='KEY=VALUE',
        help='options of razor_ext.walker.SceneOptions, such as size=192,256 people=1,2')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    for split in ('train', 'val'):
        count = getattr(args, split)
        if count:
            print(ensure_people(args.out, split, count, args.seed, args.scene))


if __name__ == '__main__':
    main()
