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


def read_data(data: Section, pickles: int = 1) -> Data:
    """Translate `data_cfg`.

    Args:
        data (Section): `data_cfg`.
        pickles (int): How many pickles of a sequence the model reads.
    """
    name = data.get('dataset_name')
    kind, base = data.choice('dataset_name', DATASETS)
    dataset = {'type': kind, 'data_root': '', 'ann_file': data.text('dataset_partition'),
               'data_prefix': {'path': data.text('dataset_root')},
               'data_in_use': _data_in_use(data, pickles)}
    # in memory or not, and a flag that OpenGait itself never reads
    data.ignore('cache', 'remove_no_gallery')
    result = Data(name, data.text('test_dataset_name'), dataset, base,
                  data.integer('num_workers', least=0, most=1024))
    data.done()
    return result


def _data_in_use(data: Section, pickles: int) -> int | list[int] | None:
    """Which of the sorted files of a sequence are read: a list of flags, or of numbers."""
    if 'data_in_use' not in data:
        data.ignore('data_in_use')
        return None if pickles == 1 else list(range(pickles))
    value = data.get('data_in_use')
    if isinstance(value, list) and value and all(isinstance(v, bool) for v in value):
        value = [i for i, used in enumerate(value) if used]
    else:
        value = data.integers('data_in_use', least=0)
    if len(value) != pickles:
        raise data.fail('data_in_use', f'must choose {pickles} of the files of a sequence: so many '
                                       'are the inputs of the model')
    return value if pickles > 1 else value[0]
