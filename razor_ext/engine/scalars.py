"""Where a run's scalars go."""
from __future__ import annotations

from importlib.util import find_spec

from mmengine.config import Config

from .errors import RunError


def add_tensorboard(cfg: Config) -> None:
    """Let a run write what it logs for TensorBoard as well, into `vis_data` of its log folder.

    Args:
        cfg: config of the run; its visualizer gets a backend.

    Raises:
        RunError: no package that writes such files is installed.
    """
    if find_spec('tensorboard') is None and find_spec('tensorboardX') is None:
        raise RunError('--tensorboard needs a package that is not installed: '
                       'pip install tensorboard')
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    backends = list(cfg.visualizer.get('vis_backends') or ())
    if not any(backend['type'].endswith('TensorboardVisBackend') for backend in backends):
        cfg.visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]
