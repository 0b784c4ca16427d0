"""`eval_func` and what it needs, as a metric."""
from __future__ import annotations

from collections.abc import Callable

from .section import Section

_INDOOR = {'CASIA-B': 'CASIABMetric', 'CASIA-E': 'CASIAEMetric', 'OUMVLP': 'OUMVLPMetric',
           'SUSTech1K': 'SUSTech1KMetric'}


def read_evaluator(evaluator: Section, dataset: str) -> dict:
    """Config of the metric.

    Args:
        evaluator (Section): `evaluator_cfg`.
        dataset (str): `test_dataset_name`, whose protocol is used.

    Raises:
        SettingError: If the function has no counterpart, or none for this data set.
    """
    kind = evaluator.choice('eval_func', _FUNCTIONS)
    config = {'_delete_': True, **kind(evaluator, dataset),
              'distance': evaluator.choice('metric', {'euc': 'euclidean', 'cos': 'cosine'})}
    # arguments of other functions, which OpenGait drops
    evaluator.ignore('cross_view_gallery', 'rerank')
    # the checkpoint is named on the command line, and tested in full precision
    evaluator.ignore('enable_float16', 'restore_ckpt_strict', 'restore_hint', 'save_name',
                     'enable_distributed')
    return config


def _indoor(evaluator: Section, dataset: str) -> dict:
    if dataset not in _INDOOR:
        raise evaluator.fail('eval_func', f'is for {sorted(_INDOOR)}, not for '
                                          f'data_cfg.test_dataset_name={dataset!r}')
    if evaluator.flag('cross_view_gallery'):
        if dataset not in ('CASIA-B', 'OUMVLP'):
            raise evaluator.fail('cross_view_gallery', 'is defined for CASIA-B and OUMVLP')
        return {'type': _INDOOR[dataset], 'protocols': ['cross_view']}
    if dataset == 'SUSTech1K':  # has the one protocol
        return {'type': _INDOOR[dataset]}
    return {'type': _INDOOR[dataset], 'protocols': ['single_view']}


def _only(name: str, kind: str, **arguments: str) -> Callable[[Section, str], dict]:
    def read(evaluator: Section, dataset: str) -> dict:
        if dataset != name:
            raise evaluator.fail('eval_func', f'is for {name}, not for '
                                              f'data_cfg.test_dataset_name={dataset!r}')
        return {'type': kind, **arguments}
    return read


def _hid(evaluator: Section, dataset: str) -> dict:
    return {'type': 'HIDSubmission', 'path': 'work_dirs/hid/submission.csv',
            'rerank': evaluator.flag('rerank', True)}


_FUNCTIONS: dict[str, Callable[[Section, str], dict]] = {
    'evaluate_indoor_dataset': _indoor,
    'evaluate_Gait3D': lambda evaluator, dataset: {'type': 'Gait3DMetric'},
    'evaluate_CCGR_MINI': lambda evaluator, dataset: {'type': 'CCGRMiniMetric'},
    'evaluate_CCPG': _only('CCPG', 'CCPGMetric'),
    'GREW_submission': _only('GREW', 'GREWSubmission', path='work_dirs/grew/submission.csv'),
    'HID_submission': _hid,
}
