"""A data set without a sample is an error that says so."""
from __future__ import annotations

import json
from pathlib import Path

import pytest

import razor_ext  # noqa: F401
from razor_ext.compat.mmengine_datasets import EmptyDatasetError


def test_what_was_asked_for_is_named(tmp_path: Path) -> None:
    from mmdet.datasets import CocoDataset

    path = tmp_path / 'boxes.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=1, file_name='a.jpg', width=9, height=9)],
        annotations=[dict(id=1, image_id=1, category_id=1, bbox=[0, 0, 8, 8], area=64, iscrowd=0)],
        categories=[dict(id=1, name='person')])))
    options = dict(ann_file=str(path), data_prefix=dict(img=''),
                   filter_cfg=dict(filter_empty_gt=True))
    assert len(CocoDataset(metainfo=dict(classes=('person', )), **options)) == 1
    with pytest.raises(EmptyDatasetError, match=(
            r"CocoDataset of .*boxes\.json' has no sample left: .*\(metainfo: \('persn',\)\).*"
            r"filter_cfg=\{'filter_empty_gt': True\}")):
        CocoDataset(metainfo=dict(classes=('persn', )), **options)


def test_mmengine_still_needs_it(run_python) -> None:
    source = ('import razor_ext\nfrom mmengine.dataset import BaseDataset\n'
              'data = BaseDataset(lazy_init=True)\ndata.data_list = []\ndata._serialize_data()\n')
    assert 'need at least one array' in run_python(source, skip='mmengine-empty-dataset').stderr
    assert 'has no sample left' in run_python(source).stderr
