"""mmengine does not say that a data set has no sample left."""
from __future__ import annotations

import importlib
from typing import Any

from .repair import RepairSpec


class EmptyDatasetError(ValueError):
    """A data set without a sample."""


def _names_it(kind: Any) -> bool:
    """Return whether mmengine tells an empty data set, by trying one."""
    empty = kind(lazy_init=True)
    empty.data_list = []
    try:
        empty._serialize_data()
    except ValueError as error:
        return 'concatenate' not in str(error)
    return True


def name_empty_datasets() -> bool:
    """Make a data set without a sample an error that says so and why that may be."""
    kind = importlib.import_module('mmengine.dataset').BaseDataset
    if _names_it(kind):
        return False
    upstream = kind._serialize_data

    def _serialize_data(self: Any) -> Any:
        if not self.data_list:
            raise EmptyDatasetError(
                f'the {type(self).__name__} of {self.ann_file!r} has no sample left: look at its '
                'annotations (those of poses need `keypoints` and `bbox`), at the classes asked '
                f'for (metainfo: {self._metainfo.get("classes")}) and at filter_cfg='
                f'{self.filter_cfg}')
        return upstream(self)

    kind._serialize_data = _serialize_data
    return True


REPAIRS = (
    RepairSpec(
        'mmengine-empty-dataset', 'mmengine',
        'a data set whose filters leave nothing ends in "need at least one array to concatenate"',
        name_empty_datasets),
)
