from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo

from .people import ANNOTATIONS

_METAINFO = {17: 'configs/_base_/datasets/coco.py', 26: 'configs/_base_/datasets/halpe26.py'}
_GREY = (150, 150, 150)


def draw_sheet(folder: str | Path, points: int = 17, count: int = 24, columns: int = 8,
               zoom: int = 2) -> np.ndarray:
    """A contact sheet of a COCO data set's first images, with boxes, limbs and keypoints.

    Args:
        folder: What :func:`ensure_people` returned.
        points: 17 or 26 keypoints.
        count: Number of images.
        columns: Images in a row.
        zoom: Magnification of the images.

    Returns:
        np.ndarray: uint8 BGR. Keypoints are in MMPose's colours, filled where visible and hollow
        where hidden.

    Raises:
        FileNotFoundError: Where there is no such data set.
    """
    path = Path(folder) / ANNOTATIONS[points]
    if not path.is_file():
        raise FileNotFoundError(f'{path} is missing: {folder} is no data set of synthetic people')
    meta = parse_pose_metainfo({'from_file': _METAINFO[points]})
    content = json.loads(path.read_text())
    people: dict[int, list] = {}
    for annotation in content['annotations']:
        people.setdefault(annotation['image_id'], []).append(annotation)
    tiles = []
    for image in content['images'][:count]:
        tile = cv2.imread(str(path.parent / 'images' / image['file_name']))
        tile = cv2.resize(tile, None, fx=zoom, fy=zoom)
        for person in people.get(image['id'], []):
            _draw_person(tile, person, meta, zoom)
        tiles.append(tile)
    blank = np.zeros_like(tiles[0])
    columns = min(columns, len(tiles))
    tiles += [blank] * (-len(tiles) % columns)
    return np.concatenate([np.concatenate(tiles[i:i + columns], 1)
                           for i in range(0, len(tiles), columns)])


def _draw_person(tile: np.ndarray, person: dict, meta: dict, zoom: int) -> None:
    x, y, w, h = (int(zoom * v) for v in person['bbox'])
    cv2.rectangle(tile, (x, y), (x + w - 1, y + h - 1), _GREY, 1)
    points = np.array(person['keypoints']).reshape(-1, 3)
    places = [tuple(int(zoom * (v + .5)) for v in p[:2]) for p in points]
    for (a, b), colour in zip(meta['skeleton_links'], meta['skeleton_link_colors']):
        if points[a, 2] and points[b, 2]:
            cv2.line(tile, places[a], places[b], colour[::-1].tolist(), 1, cv2.LINE_AA)
    for place, flag, colour in zip(places, points[:, 2], meta['keypoint_colors']):
        if flag:
            cv2.circle(tile, place, 3, colour[::-1].tolist(), -1 if flag == 2 else 1, cv2.LINE_AA)
