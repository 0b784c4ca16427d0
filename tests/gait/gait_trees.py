"""Small data sets on disk for the gait tests."""
from __future__ import annotations

import json
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np

TOOLS = Path(__file__).parents[2] / 'tools' / 'gait'

PIPELINE = [{'type': 'LoadSilhouettes'}, {'type': 'SampleFrames', 'num_frames': 5},
            {'type': 'CropSides'}, {'type': 'PackGaitInputs'}]


def write_tree(root, subjects, conditions, views, frames=6, train=None, size=64, protocol=4,
               channels=1):
    """Write `root/silhouettes` and `root/partition.json`; returns {key: frames}."""
    rng = np.random.default_rng(0)
    written = {}
    for s in subjects:
        for c in conditions:
            for v in views:
                shape = (frames, size, size) if channels == 1 else (frames, channels, size, size)
                x = rng.integers(0, 256, shape, dtype=np.uint8)
                folder = root / 'silhouettes' / s / c / v
                folder.mkdir(parents=True)
                (folder / f'{v}.pkl').write_bytes(pickle.dumps(x, protocol))
                written[s, c, v] = x
    train = list(subjects) if train is None else list(train)
    (root / 'partition.json').write_text(json.dumps(
        {'TRAIN_SET': train, 'TEST_SET': [s for s in subjects if s not in train]}))
    return written


def dataset_cfg(root, kind='GaitDataset', pipeline=PIPELINE, path='silhouettes', **kwargs):
    return {'type': kind, 'data_root': str(root), 'ann_file': 'partition.json',
            'data_prefix': {'path': path}, 'pipeline': pipeline, **kwargs}


def run_tool(monkeypatch, name, *arguments):
    """Run a script of tools/gait in this process."""
    monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
    runpy.run_path(str(TOOLS / name), run_name='__main__')
