"""Draw a strip of gait silhouettes: one person, one row per condition."""
from __future__ import annotations

import argparse

import cv2

from razor_ext.walker import VIEWS, silhouette_strip


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--out', default='walkers.png', help='the picture to write')
    parser.add_argument('--subject', default='001')
    parser.add_argument('--view', default='090', choices=VIEWS)
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not cv2.imwrite(args.out, silhouette_strip(args.subject, args.view, args.seed)):
        raise OSError(f'could not write {args.out}; name a .png or .jpg in an existing folder')
    print(args.out)


if __name__ == '__main__':
    main()
