"""The files of a finetune run."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmrazor.registry import HOOKS
from torch import nn

from razor_ext.engine.finite import StatisticsGuard
from razor_ext.engine.run_models import averaged_models, unwrapped

from .dense_config import dense_config
from .export import write_compressed
from .folder import FOLDER
from .model import CompressionRecord
from .slicing import static_copy


@HOOKS.register_module()
class CompressedModelHook(Hook):
    """Writes the files of a finetune run of a CompressedModel.

    At the start fix_subnet.json and quant.json beside the checkpoints, so that each of these can
    be rebuilt; at the end the same as training has left them, and `<work_dir>/compressed/` for
    deployment. Of an averaged model (EMA) where there is one, as in the checkpoints. The files
    belong to the last checkpoint; `tools/extract_compressed.py` makes those of another one.
    """

    priority = 'BELOW_NORMAL'
    of_compression = True

    def __init__(self) -> None:
        self._config: Config | None = None

    def before_train(self, runner: Runner) -> None:
        """Write the structure, and read what the config names while it is still there.

        Raises:
            TypeError: the model is no compressed one.
        """
        model, record = compressed_of(runner.model)
        StatisticsGuard(model)
        if not is_main_process():
            return
        if isinstance(runner.cfg.get('model'), Mapping):
            self._config = dense_config(runner.cfg)
        else:
            print_log('the runner has no config of the model: the compressed folder will have none '
                      'either', logger='current')
        record.write(model, Path(runner.work_dir))

    def after_train(self, runner: Runner) -> None:
        """Write the files of the finished run."""
        if not is_main_process():
            return
        model, record = compressed_of(next(averaged_models(runner), runner.model))
        final, work_dir = static_copy(model), Path(runner.work_dir)
        record.write(final, work_dir)
        write_compressed(final, record.structure, work_dir / FOLDER, record.infos or None,
                         config=self._config, units=record.units,
                         activations=record.activations)


def compressed_of(model: nn.Module) -> tuple[nn.Module, CompressionRecord]:
    """Return the compressed model in what a runner trains, and its record.

    Raises:
        TypeError: it is no compressed model.
    """
    model = unwrapped(model)
    # A distilled run holds the model as its architecture.
    model = getattr(model, 'architecture', model)
    record = getattr(model, 'compression_record', None)
    if record is None:
        raise TypeError(f'CompressedModelHook belongs to a CompressedModel, not to a '
                        f'{type(model).__name__}; remove it from custom_hooks')
    return model, record
