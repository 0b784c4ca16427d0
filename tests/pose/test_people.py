from __future__ import annotations

import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from xtcocotools.coco import COCO

from razor_ext.pose import SyntheticPeople, SyntheticPeopleHalpe26, ensure_people
from razor_ext.pose.browse import draw_sheet
from razor_ext.walker import KEYPOINTS

SCENE = {'size': (72, 96), 'people': (1, 2)}
CONFIGS = Path(__file__).resolve().parents[2] / 'configs'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp('people')


def _content(folder: Path) -> dict:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def _ensure(root: Path) -> str:
    return str(ensure_people(root, 'train', 24, 0, SCENE))


def test_folder_is_coco(root: Path):
    folder = Path(_ensure(root))
    for points, name in ((17, 'person_keypoints.json'), (26, 'person_halpe26.json')):
        coco = COCO(str(folder / name))
        assert len(coco.getImgIds()) == 24 and coco.getCatIds(['person']) == [1]
        assert coco.loadCats(1)[0]['keypoints'] == list(KEYPOINTS[:points])
        for image in coco.loadImgs(coco.getImgIds()):
            pixels = cv2.imread(str(folder / 'images' / image['file_name']))
            assert pixels.shape == (image['height'], image['width'], 3)
        for person in coco.loadAnns(coco.getAnnIds()):
            flags = person['keypoints'][2::3]
            assert len(flags) == points and person['num_keypoints'] == sum(v > 0 for v in flags)
            assert person['iscrowd'] == 0 and 0 < person['area'] <= np.prod(person['bbox'][2:])


def test_keypoints_are_named_as_mmpose_names_them(root: Path):
    for cls in (SyntheticPeople, SyntheticPeopleHalpe26):
        names = cls('train', 24, scene=SCENE, data_root=str(root)).metainfo['keypoint_id2name']
        assert tuple(names[i] for i in range(len(names))) == KEYPOINTS[:cls.points]


def test_number_of_workers_does_not_matter(root: Path, tmp_path: Path, monkeypatch):
    folder = Path(_ensure(root))
    for cores in (1, 3):
        monkeypatch.setattr(os, 'sched_getaffinity', lambda _, cores=cores: set(range(cores)))
        again = Path(_ensure(tmp_path / str(cores)))
        assert again.name == folder.name and _content(again) == _content(folder)


def test_processes_that_ask_at_once_render_once(tmp_path: Path):
    with ProcessPoolExecutor(3, mp_context=get_context('fork')) as pool:
        assert len(set(pool.map(_ensure, [tmp_path] * 3))) == 1
    assert sum(p.is_dir() for p in tmp_path.iterdir()) == 1


def test_cache_is_reused_and_other_arguments_lie_beside_it(root: Path):
    folder = Path(_ensure(root))
    stamp = folder.stat().st_mtime_ns
    assert _ensure(root) == str(folder) and folder.stat().st_mtime_ns == stamp
    other = ensure_people(root, 'train', 24, 1, SCENE)
    listed = ensure_people(root, 'train', 24, 1, {k: list(v) for k, v in SCENE.items()})
    assert other == listed != folder and folder.is_dir()
    assert (_content(other)['images/000000.jpg'] != _content(folder)['images/000000.jpg'])
    split = ensure_people(root, 'val', 24, 0, SCENE)
    assert _content(split)['images/000000.jpg'] != _content(folder)['images/000000.jpg']


@pytest.mark.parametrize(('name', 'damage'), [
    ('images/000003.jpg', None), ('images/000003.jpg', b'cut'), ('person_keypoints.json', None),
    ('person_halpe26.json', b'{}'), ('manifest.json', None), ('manifest.json', b'{"recipe":')])
def test_damage_is_named_and_repaired(root: Path, name: str, damage: bytes | None):
    folder = Path(_ensure(root))
    whole = _content(folder)
    if damage is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(damage)
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    try:
        assert _ensure(root) == str(folder)
    finally:
        logger.removeHandler(handler)
    assert any(name in message and str(folder) in message for message in messages)
    assert _content(folder) == whole


def test_an_interrupted_run_leaves_no_data_set(tmp_path: Path, monkeypatch):
    monkeypatch.setattr('razor_ext.pose.people.render_scene', _fail_at_five)
    with pytest.raises(RuntimeError, match='five'):
        _ensure(tmp_path)
    assert not [p for p in tmp_path.iterdir() if not p.name.startswith('.')]
    monkeypatch.undo()
    assert len(_content(Path(_ensure(tmp_path)))) == 24 + 3


def _fail_at_five(seed: str, index: int, options):
    from razor_ext.walker import render_scene
    if index == 5:
        raise RuntimeError('five')
    return render_scene(seed, index, options)


@pytest.mark.parametrize(('change', 'word'), [
    ({'split': '../x'}, r'\.\./x'), ({'num_images': 0}, 'num_images'),
    ({'scene': {'colour': 1}}, 'colour'), ({'scene': {'variety': 7}}, 'variety')])
def test_bad_arguments_are_named(tmp_path: Path, change: dict, word: str):
    with pytest.raises(ValueError, match=word):
        ensure_people(**{'root': tmp_path, 'split': 'train', 'num_images': 4, **change})


@pytest.mark.parametrize('points', [17, 26])
def test_sheet(root: Path, points: int):
    sheet = draw_sheet(_ensure(root), points, count=5, columns=3, zoom=2)
    assert sheet.shape == (2 * 2 * 96, 3 * 2 * 72, 3)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        draw_sheet(root / 'nowhere')


def test_base_configs_name_what_can_be_built(tmp_path: Path):
    for points in (17, 26):
        cfg = Config.fromfile(CONFIGS / f'_base_/datasets/synthetic_people_{points}.py')
        assert cfg.people_train.split != cfg.people_val.split
        assert cfg.people_val.test_mode
        json.dumps(cfg.to_dict())
