from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
from mmengine.logging import MMLogger

from ..walker import KEYPOINTS, SceneOptions, render_scene

# Part of every cache's name: raise it whenever the same arguments draw something else.
RENDERER = 1
ANNOTATIONS = {17: 'person_keypoints.json', 26: 'person_halpe26.json'}


def ensure_people(root: str | os.PathLike, split: str, num_images: int, seed: int = 0,
                  scene: dict | None = None) -> Path:
    """Render a data set of synthetic people unless it is there already.

    It is rendered by one process at a time, whoever comes first, with one worker per core; others
    wait. Data sets of other arguments lie beside it. A damaged one is named and rendered anew. An
    interrupted run leaves nothing that could be taken for a data set.

    Args:
        root: Folder of the caches.
        split: Name of the split; its scenes are its own, whatever the seed.
        num_images: Number of scenes.
        seed: Seed of the data set.
        scene: Arguments of :class:`razor_ext.walker.SceneOptions`.

    Returns:
        Path: Folder with ``images/``, COCO annotations of 17 (``person_keypoints.json``) and 26
        keypoints (``person_halpe26.json``), and ``manifest.json``.

    Raises:
        ValueError: For arguments out of range.
    """
    if not split.isidentifier():
        raise ValueError(f'split must be a plain name such as train, not {split!r}')
    if num_images < 1:
        raise ValueError(f'num_images must be at least 1, not {num_images}')
    options = parse_scene(scene)
    recipe = {'renderer': RENDERER, 'split': split, 'num_images': num_images, 'seed': seed,
              'scene': asdict(options)}
    recipe = json.loads(json.dumps(recipe))
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:10]
    folder = Path(root) / f'{split}-{num_images}-{digest}'
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _lock(folder.with_name(f'.{folder.name}.lock')):
        damage = find_damage(folder, recipe)
        if damage is not None:
            if folder.exists():
                MMLogger.get_current_instance().warning(
                    f'The data set {folder} is damaged ({damage}); rendering it anew.')
            _render(folder, recipe, options)
    return folder


def parse_scene(scene: dict | None) -> SceneOptions:
    """SceneOptions of a config's dictionary.

    Raises:
        ValueError: For a key or a value that has no meaning.
    """
    options = {} if scene is None else dict(scene)
    unknown = sorted(set(options) - set(SceneOptions.__dataclass_fields__))
    if unknown:
        raise ValueError(f'unknown scene options {unknown}; known are '
                         f'{sorted(SceneOptions.__dataclass_fields__)}')
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                              for key, value in options.items()}
    return SceneOptions(**values)


def find_damage(folder: Path, recipe: dict) -> str | None:
    """What is wrong with a cached data set, or None.

    Annotations are compared by content, images by size.
    """
    try:
        manifest = json.loads((folder / 'manifest.json').read_text())
    except FileNotFoundError:
        return 'manifest.json is missing'
    except ValueError:
        return 'manifest.json is not JSON'
    if not isinstance(manifest, dict) or manifest.get('recipe') != recipe:
        return 'manifest.json describes another data set'
    for name, digest in manifest['annotations'].items():
        try:
            content = (folder / name).read_bytes()
        except FileNotFoundError:
            return f'{name} is missing'
        if hashlib.sha256(content).hexdigest() != digest:
            return f'{name} was changed'
    images = folder / 'images'
    found = ({entry.name: entry.stat().st_size for entry in os.scandir(images)}
             if images.is_dir() else {})
    for name, size in manifest['images'].items():
        if name not in found:
            return f'images/{name} is missing'
        if found[name] != size:
            return f'images/{name} has {found[name]} bytes instead of {size}'
    return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, between the processes and ranks of one machine."""
    with open(path, 'w') as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _render(folder: Path, recipe: dict, options: SceneOptions) -> None:
    logger, start = MMLogger.get_current_instance(), time.perf_counter()
    count, workers = recipe['num_images'], len(os.sched_getaffinity(0))
    fresh = folder.with_name(f'.{folder.name}.part')
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / 'images').mkdir(parents=True)
    job = partial(_render_one, f"{recipe['seed']}/{recipe['split']}", options, fresh / 'images')
    logger.info(f'Rendering {count} scenes of synthetic people to {folder} ({workers} workers)')
    images, people, told = {}, [], start
    # Workers are forked: they need neither torch nor the registries, and start at once.
    with get_context('fork').Pool(workers, cv2.setNumThreads, (0,)) as pool:
        for number, (name, size, found) in enumerate(pool.imap(job, range(count), chunksize=16), 1):
            images[name] = size
            people += found
            now = time.perf_counter()
            if now - told > 5 or number == count:
                logger.info(f'  {number}/{count} scenes, {number / (now - start):.0f} per second')
                told = now
    annotations = {}
    for points, name in ANNOTATIONS.items():
        content = json.dumps(_coco(list(images), people, points, options.size)).encode()
        (fresh / name).write_bytes(content)
        annotations[name] = hashlib.sha256(content).hexdigest()
    (fresh / 'manifest.json').write_text(json.dumps(
        {'recipe': recipe, 'annotations': annotations, 'images': images}))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(fresh, folder)


def _render_one(seed: str, options: SceneOptions, folder: Path,
                index: int) -> tuple[str, int, list]:
    scene = render_scene(seed, index, options)
    name = f'{index:06d}.jpg'
    _, content = cv2.imencode('.jpg', scene.image[..., ::-1],
                              (cv2.IMWRITE_JPEG_QUALITY, scene.quality))
    (folder / name).write_bytes(content.tobytes())
    return name, len(content), [
        (index + 1, person.keypoints.round(2).tolist(), person.bbox, person.area)
        for person in scene.people]


def _coco(images: list, people: list, points: int, size: tuple) -> dict:
    annotations: list[dict[str, Any]] = []
    for image_id, keypoints, bbox, area in people:
        keypoints = keypoints[:points]
        annotations.append({
            'id': len(annotations) + 1, 'image_id': image_id, 'category_id': 1, 'iscrowd': 0,
            'bbox': bbox, 'area': area, 'num_keypoints': sum(v > 0 for _, _, v in keypoints),
            'keypoints': [int(x) if i == 2 else x for point in keypoints
                          for i, x in enumerate(point)]})
    return {
        'info': {'description': 'Synthetic people, rendered by razor_ext'}, 'licenses': [],
        'images': [{'id': i + 1, 'file_name': name, 'width': size[0], 'height': size[1]}
                   for i, name in enumerate(images)],
        'annotations': annotations,
        'categories': [{'id': 1, 'name': 'person', 'supercategory': 'person',
                        'keypoints': list(KEYPOINTS[:points]), 'skeleton': []}]}
