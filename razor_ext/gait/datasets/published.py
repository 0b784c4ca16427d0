"""The published silhouette data sets."""
from __future__ import annotations

from razor_ext.registry import DATASETS

from .dataset import GaitDataset


@DATASETS.register_module()
class CASIABDataset(GaitDataset):
    """CASIA-B (Yu et al., ICPR 2006): 124 subjects, 10 walks, 11 views."""

    METAINFO = {
        'dataset_name': 'CASIA-B',
        'conditions': [*(f'nm-{i:02d}' for i in range(1, 7)), 'bg-01', 'bg-02', 'cl-01', 'cl-02'],
        'views': [f'{v:03d}' for v in range(0, 181, 18)],
    }


@DATASETS.register_module()
class OUMVLPDataset(GaitDataset):
    """OU-MVLP (Takemura et al., 2018): 10,307 subjects, 2 walks, 14 views."""

    METAINFO = {
        'dataset_name': 'OUMVLP', 'conditions': ['00', '01'],
        'views': [f'{v:03d}' for v in (*range(0, 91, 15), *range(180, 271, 15))],
    }


class NamedSetDataset(GaitDataset):
    """A data set whose partition names the test sequences of one role."""

    def _check_named(self, name: str, data: list[dict]) -> None:
        """Report the sequences of a list of the partition that are not on disk."""
        sequences = self._metainfo[name.lower()]
        if not sequences:
            raise ValueError(f'{self.ann_file} has no {name}, which '
                             f'{self.METAINFO["dataset_name"]} is judged by')
        known = {'-'.join((d['subject'], d['condition'], d['view'])) for d in data}
        self._report_missing([s for s in sequences if s not in known],
                             f'sequences of {name} are not on disk')


@DATASETS.register_module()
class Gait3DDataset(NamedSetDataset):
    """Gait3D (Zheng et al., CVPR 2022): 4,000 subjects by camera and sequence, with a probe set.

    Gait3D-Parsing (Zheng et al., ACM MM 2023) has the same tree and partition, of part labels.
    """

    METAINFO = {'dataset_name': 'Gait3D', 'conditions': None, 'views': None}

    def load_data_list(self) -> list[dict]:
        """List the split and check its probe set, names ``subject-camera-sequence``."""
        data = super().load_data_list()
        if self.split == 'test':
            self._check_named('PROBE_SET', data)
        return data


@DATASETS.register_module()
class GREWDataset(GaitDataset):
    """GREW (Zhu et al., ICCV 2021): 20,000 training subjects; test gallery and unnamed probes.

    Training subjects are named ``00001train``; the probes all belong to a subject ``probe`` and
    their view is the video's identifier.
    """

    METAINFO = {'dataset_name': 'GREW', 'conditions': None, 'views': None}


@DATASETS.register_module()
class CASIAEDataset(GaitDataset):
    """CASIA-E (Song et al., TPAMI 2022): 1,014 subjects, by height, scene, clothes and number.

    Conditions are named ``H-scene1-nm-1``.
    """

    METAINFO = {'dataset_name': 'CASIA-E', 'conditions': None, 'views': None}


@DATASETS.register_module()
class SUSTech1KDataset(GaitDataset):
    """SUSTech1K (Shen et al., CVPR 2023): 1,050 subjects; conditions are named ``01-nm``.

    A sequence has 16 pickles; aligned silhouettes are number 6.
    """

    METAINFO = {'dataset_name': 'SUSTech1K', 'conditions': None, 'views': None}


@DATASETS.register_module()
class CCPGDataset(GaitDataset):
    """CCPG (Li et al., CVPR 2023): 200 subjects; conditions are named ``U0_D3`` after clothes.

    A sequence has 4 pickles; aligned silhouettes are number 0.
    """

    METAINFO = {'dataset_name': 'CCPG', 'conditions': None, 'views': None}


@DATASETS.register_module()
class CCGRMiniDataset(NamedSetDataset):
    """CCGR-Mini (Zou et al., AAAI 2024): 971 subjects; the partition names the gallery.

    A sequence has 5 pickles; silhouettes are number 2.
    """

    METAINFO = {'dataset_name': 'CCGR-MINI', 'conditions': None, 'views': None}

    def load_data_list(self) -> list[dict]:
        """List the split and check its gallery, names ``subject-condition-view``."""
        data = super().load_data_list()
        if self.split == 'test':
            self._check_named('GALLERY_SET', data)
        return data


@DATASETS.register_module()
class HIDDataset(GaitDataset):
    """HID (the competition Human Identification at a Distance): gallery and unnamed probes.

    The probes all belong to a subject ``probe``, and their view is the video's identifier.
    """

    METAINFO = {'dataset_name': 'HID', 'conditions': None, 'views': None}
