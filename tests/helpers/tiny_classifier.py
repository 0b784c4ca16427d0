"""A small RepVGG on pictures that are stripes, read from files by mmpretrain's data set."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

#: Width and height of an image, and the number of classes.
SIZE, CLASSES = (32, 32), 4
PREPROCESSOR = dict(num_classes=CLASSES, mean=[127.5] * 3, std=[64.] * 3, to_rgb=True)


def tiny_repvgg(**backbone: Any) -> dict:
    """Return the config of a classifier of four blocks.

    Args:
        backbone: arguments of the backbone that differ.
    """
    arch = dict(num_blocks=[1, 1, 2, 1], width_factor=[.125, .125, .25, .25],
                group_layer_map=None, se_cfg=None, stem_channels=8)
    return dict(
        type='ImageClassifier', backbone=dict(
            dict(type='RepVGG', arch=arch, out_indices=(3, ), strides=(2, 2, 1, 2)), **backbone),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=CLASSES, in_channels=128, topk=(1, ),
                  loss=dict(type='CrossEntropyLoss')))


def write_stripes(folder: Path, count: int = 10) -> None:
    """Write `count` images of each class, stripes at an angle, into `folder`/<split>/<class>."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIZE[1], :SIZE[0]]
    for split in ('train', 'test'):
        for label in range(CLASSES):
            place = folder / split / f'angle_{label}'
            place.mkdir(parents=True)
            angle = np.pi * label / CLASSES
            for index in range(count):
                wave = np.sin(.8 * (x * np.cos(angle) + y * np.sin(angle)) + index)
                noise = generator.normal(0, 20, (*SIZE[::-1], 3))
                image = 128 + 80 * wave[..., None] + noise
                cv2.imwrite(str(place / f'{index}.png'), image.clip(0, 255).astype(np.uint8))


def loader(folder: Path, split: str, batch_size: int, **dataset: Any) -> dict:
    """Return the config of a data loader over what `write_stripes` has written.

    Args:
        folder: where that is.
        split: 'train' or 'test'.
        batch_size: images of a step.
        dataset: arguments of the data set that differ.
    """
    steps = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=SIZE),
             dict(type='PackInputs')]
    return dict(
        batch_size=batch_size, num_workers=0, dataset=dict(dict(
            type='CustomDataset', data_root=str(folder), data_prefix=split, pipeline=steps),
            **dataset),
        sampler=dict(type='DefaultSampler', shuffle=split == 'train'))
