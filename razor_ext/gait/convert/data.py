"""`data_cfg`: data sets of the published layouts."""
from __future__ import annotations

from dataclasses import dataclass

from .section import Section

#: Our data set's class and the base config of every `dataset_name`.
DATASETS = {
    'CASIA-B': ('CASIABDataset', 'casiab'), 'CASIA-E': ('CASIAEDataset', 'casiae'),
    'CCGR-MINI': ('CCGRMiniDataset', 'ccgrmini'), 'CCPG': ('CCPGDataset', 'ccpg'),
    'GREW': ('GREWDataset', 'grew'), 'Gait3D': ('Gait3DDataset', 'gait3d'),
    'Gait3D-Parsing': ('Gait3DDataset', 'gait3d'), 'HID': ('HIDDataset', 'hid'),
    'OUMVLP': ('OUMVLPDataset', 'oumvlp'), 'SUSTech1K': ('SUSTech1KDataset', 'sustech1k'),
}


@dataclass(frozen=True)
class Data:
    """The data of a file.

    Attributes:
        name (str): `dataset_name`.
        judged_as (str): `test_dataset_name`, whose protocol is used.
        dataset (dict): Config of the data set, without split and pipeline.
        base (str): Name of its base config.
        num_workers (int): Processes that load, for each loader.
    """

    name: str
    judged_as: str
    dataset: dict
    base: str
    num_workers: int


def read_data(data: Section) -> Data:
    """Translate `data_cfg`."""
    name = data.get('dataset_name')
    kind, base = data.choice('dataset_name', DATASETS)
    dataset = {'type': kind, 'data_root': '', 'ann_file': data.text('dataset_partition'),
               'data_prefix': {'path': data.text('dataset_root')},
               'data_in_use': _data_in_use(data) if 'data_in_use' in data else None}
    # in memory or not, and a flag that OpenGait itself never reads
    data.ignore('cache', 'remove_no_gallery')
    result = Data(name, data.text('test_dataset_name'), dataset, base,
                  data.integer('num_workers', least=0, most=1024))
    data.done()
    return result


def _data_in_use(data: Section) -> int:
    """Which of the sorted files of a sequence is read: a list of flags, or of numbers."""
    value = data.get('data_in_use')
    if isinstance(value, list) and value and all(isinstance(v, bool) for v in value):
        value = [i for i, used in enumerate(value) if used]
    else:
        value = data.integers('data_in_use', least=0)
    if len(value) != 1:
        raise data.fail('data_in_use', 'must choose one file of a sequence: models of silhouettes '
                                       'have one input')
    return value[0]
