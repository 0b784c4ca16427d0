"""The sliced model of any checkpoint of a compression run."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.structure.demo_input import build_demo_input
from razor_ext.structure.dense_config import dense_config
from razor_ext.structure.rebuild import load_sliced
from razor_ext.structure.slicing import static_copy

from .export import Compressed


@runtime_checkable
class Extractable(Protocol):
    """A model of a pruning run."""

    def load_run(self, checkpoint: str) -> None:
        """Load a checkpoint of the run."""

    def compressed(self) -> Compressed:
        """Check the result and slice it."""


def _extract_compressed(model: Mapping, checkpoint: str) -> Compressed:
    built = MODELS.build({**model, 'checkpoint': None})
    load_sliced(built, checkpoint)
    record = built.compression_record
    final = static_copy(built).eval()
    data = build_demo_input(record.demo_input).get_data(final)
    return Compressed(final, record.structure, record.infos, data, record.units,
                      record.activations)


def extract(cfg: Config, checkpoint: str) -> tuple[Compressed, nn.Module]:
    """Get the sliced model from a checkpoint.

    Args:
        cfg: config of the run: of pruning, or of finetuning a CompressedModel.
        checkpoint: one of its checkpoints.

    Returns:
        The sliced model, and the dense float architecture.

    Raises:
        UnprunedError: nothing is pruned in it.
        TargetMissedError: the run had not reached its target when it was saved.
        ValueError: it is of another model, or the config of no compression run.
    """
    model = cfg.model
    if model.type.rpartition('.')[2] == 'SingleTeacherDistill':
        model = model.architecture
    if cfg.get('data_preprocessor') is not None:  # as Runner gives it to the model
        model = ConfigDict({'data_preprocessor': cfg.data_preprocessor, **model})
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    if model.type.rpartition('.')[2] == 'CompressedModel':
        found = _extract_compressed(model, os.fspath(checkpoint))
    else:
        algorithm = MODELS.build(model)
        if not isinstance(algorithm, Extractable):
            raise ValueError(f'{cfg.filename}: model.type={model.type!r}; a compressed model is '
                             'extracted from the config of a pruning algorithm, or from one that '
                             'finetunes a CompressedModel')
        algorithm.load_run(os.fspath(checkpoint))
        found = algorithm.compressed()
    return found, MODELS.build(dense_config(cfg).model)
