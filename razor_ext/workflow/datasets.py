"""A user's own data in the place of that of a stock config."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .annotations import check_annotations
from .request import RequestError

#: What can be said of a data set, and of which part.
DATA_KEYS = ('data_root', 'train_ann', 'val_ann', 'train_images', 'val_images')


def dataset_overrides(cfg: Config, data: Mapping[str, str]) -> dict[str, Any]:
    """Return what of a config changes for a user's own annotations and images.

    Args:
        cfg: of the dense model; its data sets have `ann_file` and `data_prefix`, as those of
            MMPose and MMDetection in COCO's format have, or are mmpretrain's.
        data: `data_root`, and below it `train_ann`, `val_ann`, `train_images`, `val_images`.

    Returns:
        `train_dataloader`, `val_dataloader`, `test_dataloader` and the evaluators, as far as they
        change; nothing for no data.

    Raises:
        RequestError: a file does not exist or is damaged, or a data set is of another kind.
    """
    if not data:
        return {}
    root = Path(data.get('data_root', ''))
    changes: dict[str, Any] = {}
    for loader, part in (('train_dataloader', 'train'), ('val_dataloader', 'val'),
                         ('test_dataloader', 'val')):
        if cfg.get(loader) is not None:
            changes[loader] = {'dataset': _dataset(cfg, loader, part, root, data)}
    annotations = str(root / data['val_ann']) if 'val_ann' in data else None
    for evaluator in ('val_evaluator', 'test_evaluator'):
        found = cfg.get(evaluator)
        if annotations and isinstance(found, Mapping) and found.get('ann_file') is not None:
            changes[evaluator] = dict(ann_file=annotations)
    return changes


def _dataset(cfg: Config, loader: str, part: str, root: Path, data: Mapping[str, str]
             ) -> dict[str, Any]:
    dataset = cfg[loader].dataset
    for key in (f'{part}_ann', f'{part}_images'):
        if key in data and not (root / data[key]).exists():
            raise RequestError(f'--{key.replace("_", "-")} {data[key]!r}: {root / data[key]} does '
                               'not exist')
    scope, _, _ = str(dataset.get('type')).rpartition('.')
    if (scope or cfg.get('default_scope')) == 'mmpretrain':
        return _classes(dataset, part, root, data)
    if 'ann_file' not in dataset:
        raise RequestError(f'{loader}.dataset is a {dataset.get("type")} without ann_file: '
                           '--data-root and the like are for one annotation file; write a config '
                           'with your data set that inherits from the stock one, and give that')
    annotations = root / data.get(f'{part}_ann', '')
    if annotations.suffix == '.json':
        check_annotations(annotations)
    changes: dict[str, Any] = {}
    if 'data_root' in data:
        changes['data_root'] = str(root)
    for key, name in ((f'{part}_ann', 'ann_file'), (f'{part}_images', 'images')):
        if key not in data:
            continue
        if name == 'ann_file':
            # Boxes of a detector belong to the images of before.
            changes.update(ann_file=data[key],
                           **({'bbox_file': None} if dataset.get('bbox_file') else {}))
        else:
            changes['data_prefix'] = {'_delete_': True, next(iter(
                dataset.get('data_prefix') or {'img': ''})): data[key]}
    return changes


def _classes(dataset: Mapping[str, Any], part: str, root: Path, data: Mapping[str, str]
             ) -> dict[str, Any]:
    """Return mmpretrain's data set of a folder per class, or of a list of files and labels."""
    if f'{part}_images' not in data:
        return {'data_root': str(root)} if 'data_root' in data else {}
    return {'_delete_': True, 'type': 'mmpretrain.CustomDataset', 'data_root': str(root),
            'data_prefix': data[f'{part}_images'], 'ann_file': data.get(f'{part}_ann', ''),
            'pipeline': dataset['pipeline']}
