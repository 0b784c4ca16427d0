"""Where a run's scalars go."""
from __future__ import annotations

import importlib

from mmengine.config import Config

from .errors import RunError

PACKAGE = 'tensorboard'


def add_tensorboard(cfg: Config) -> None:
    """Let a run write what it logs for TensorBoard as well, into `vis_data` of its log folder.

    Args:
        cfg: config of the run; its visualizer gets a backend.

    Raises:
        RunError: the package that writes such files cannot be used.
    """
    try:
        importlib.import_module('torch.utils.tensorboard')
    except ImportError as error:
        raise RunError(f'--tensorboard: the package that writes for it cannot be used ({error}); '
                       f'pip install {PACKAGE}') from error
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    backends = list(cfg.visualizer.get('vis_backends') or ())
    if not any(backend['type'].endswith('TensorboardVisBackend') for backend in backends):
        cfg.visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]
