"""What OpenGait takes for settings that a YAML file leaves out (its `configs/default.yaml`)."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from .section import SettingError, shown

#: What stands for the root of a data set until a user writes his own.
NO_ROOT = 'your_path'

_CUT = [{'type': 'BaseSilCuttingTransform'}]

DEFAULTS: dict[str, Any] = {
    'data_cfg': {'dataset_name': 'CASIA-B', 'test_dataset_name': 'CASIA-B', 'num_workers': 1,
                 'dataset_root': NO_ROOT,
                 'dataset_partition': './datasets/CASIA-B/CASIA-B.json'},
    'model_cfg': {'model': 'Baseline'},
    'loss_cfg': {'type': 'TripletLoss', 'margin': 0.2, 'loss_term_weight': 1.0,
                 'log_prefix': 'triplet'},
    'optimizer_cfg': {'solver': 'SGD', 'lr': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4},
    'scheduler_cfg': {'scheduler': 'MultiStepLR', 'gamma': 0.1,
                      'milestones': [20000, 40000, 60000]},
    'trainer_cfg': {
        'enable_float16': True, 'sync_BN': False, 'fix_BN': False, 'with_test': False,
        'find_unused_parameters': False, 'log_iter': 100, 'save_iter': 2000, 'total_iter': 80000,
        'restore_hint': 0, 'optimizer_reset': False, 'scheduler_reset': False,
        'sampler': {'type': 'TripletSampler', 'batch_size': [8, 16], 'batch_shuffle': False,
                    'sample_type': 'fixed_unordered', 'frames_num_fixed': 30,
                    'frames_num_min': 25, 'frames_num_max': 50},
        'transform': _CUT},
    'evaluator_cfg': {
        'eval_func': 'evaluate_indoor_dataset', 'metric': 'euc', 'cross_view_gallery': False,
        'sampler': {'type': 'InferenceSampler', 'sample_type': 'all_ordered', 'batch_size': 4},
        'transform': _CUT},
}


def with_defaults(settings: object) -> dict[str, Any]:
    """Merge the settings of a file over the defaults, mapping by mapping, as OpenGait does.

    A list, and any other value, replaces the default as a whole.

    Raises:
        SettingError: If the settings are no mapping of names.
    """
    if not isinstance(settings, Mapping):
        raise SettingError(f'the file must hold a mapping of sections, not {shown(settings)}')
    return _merged(DEFAULTS, settings)


def _merged(default: Mapping, own: Mapping) -> dict:
    result = {key: copy.deepcopy(value) for key, value in default.items()}
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(default.get(key), Mapping)
        result[key] = _merged(default[key], value) if both else value
    return result
