"""A small RTMDet, and pictures of rectangles in COCO's format to train it on."""
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

#: Width and height of the network's input, and of the pictures.
SIZE, PICTURE = (64, 64), (60, 44)
CLASSES = ('dark', 'light')
_ACT = dict(act_cfg=dict(type='SiLU', inplace=True), norm_cfg=dict(type='BN'))


def tiny_rtmdet(**head: object) -> dict:
    """Return the config of a small RTMDet; its heads share their convolutions under many names."""
    return dict(
        type='RTMDet',
        data_preprocessor=dict(
            type='DetDataPreprocessor', mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395],
            bgr_to_rgb=False, batch_augments=None),
        backbone=dict(type='CSPNeXt', arch='P5', expand_ratio=0.5, deepen_factor=.167,
                      widen_factor=.125, channel_attention=True, **_ACT),
        neck=dict(type='CSPNeXtPAFPN', in_channels=[32, 64, 128], out_channels=16, num_csp_blocks=1,
                  expand_ratio=0.5, **_ACT),
        bbox_head=dict(
            dict(type='RTMDetSepBNHead', num_classes=len(CLASSES), in_channels=16, stacked_convs=1,
                 feat_channels=16, with_objectness=False, exp_on_reg=False, share_conv=True,
                 pred_kernel_size=1, anchor_generator=dict(
                     type='MlvlPointGenerator', offset=0, strides=[8, 16, 32]),
                 bbox_coder=dict(type='DistancePointBBoxCoder'),
                 loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True, beta=2.0,
                               loss_weight=1.0),
                 loss_bbox=dict(type='GIoULoss', loss_weight=2.0), **_ACT), **head),
        train_cfg=dict(assigner=dict(type='DynamicSoftLabelAssigner', topk=13), allowed_border=-1,
                       pos_weight=-1, debug=False),
        test_cfg=dict(nms_pre=1000, min_bbox_size=0, score_thr=.001, max_per_img=50,
                      nms=dict(type='nms', iou_threshold=0.65)))


def write_pictures(folder: Path, count: int = 12) -> None:
    """Write `count` pictures of rectangles and `boxes.json`, their annotations."""
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(count):
        picture = generator.integers(100, 150, (PICTURE[1], PICTURE[0], 3)).astype(np.uint8)
        for _ in range(2):
            label = int(generator.integers(2))
            x, y = (int(generator.integers(0, side - 24)) for side in PICTURE)
            w, h = (int(generator.integers(8, 24)) for _ in range(2))
            picture[y:y + h, x:x + w] = 20 + 210 * label
            annotations.append(dict(
                id=len(annotations) + 1, image_id=index + 1, category_id=label + 1, iscrowd=0,
                bbox=[x, y, w, h], area=w * h))
        name = f'{index:03d}.png'
        cv2.imwrite(str(folder / name), picture)
        images.append(dict(id=index + 1, file_name=name, width=PICTURE[0], height=PICTURE[1]))
    (folder / 'boxes.json').write_text(json.dumps(dict(
        images=images, annotations=annotations,
        categories=[dict(id=i + 1, name=name) for i, name in enumerate(CLASSES)])))


def pipelines() -> tuple[list[dict], list[dict]]:
    """Return the transforms of training and of testing."""
    first = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
             dict(type='Resize', scale=SIZE, keep_ratio=True),
             dict(type='Pad', size=SIZE, pad_val=dict(img=(114, 114, 114)))]
    return ([*first, dict(type='PackDetInputs')],
            [*first, dict(type='PackDetInputs', meta_keys=(
                'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))])


def dataset(folder: Path, pipeline: list[dict], **options: object) -> dict:
    """Return the config of the data set of `write_pictures`."""
    return dict(type='CocoDataset', ann_file=str(folder / 'boxes.json'),
                data_prefix=dict(img=str(folder)), metainfo=dict(classes=CLASSES),
                pipeline=pipeline, **options)
