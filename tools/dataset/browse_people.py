"""Draw a contact sheet of a data set that render_people.py made."""
from __future__ import annotations

import argparse

import cv2

from razor_ext.pose.browse import draw_sheet


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='a data set, as printed by render_people.py')
    parser.add_argument('--out', default='people.png', help='the picture to write')
    parser.add_argument('--keypoints', type=int, choices=(17, 26), default=17)
    parser.add_argument('--count', type=int, default=24, help='how many images to show')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if not cv2.imwrite(args.out, draw_sheet(args.folder, args.keypoints, args.count)):
        raise OSError(f'could not write {args.out}; name a .png or .jpg in an existing folder')
    print(args.out)


if __name__ == '__main__':
    main()
