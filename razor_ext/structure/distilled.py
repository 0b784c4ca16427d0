"""A compressed model that learns from the dense one while it is finetuned."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from torch import nn

from razor_ext.distillation import OutputDistillation, Teacher
from razor_ext.engine.run_models import ArchitectureParts

from .dense_weights import load_dense


class DistilledModel(ArchitectureParts, BaseModel):
    """Trains a model by its own losses and that of its outputs against a teacher's.

    Everything but the losses is the model's own; checkpoints hold it as `architecture`.

    Args:
        architecture: the model that trains.
        distillation: has the teacher.
        checkpoint: the teacher's weights, a file or an address.
    """

    def __init__(self, architecture: BaseModel, distillation: OutputDistillation,
                 checkpoint: str) -> None:
        super().__init__(data_preprocessor=architecture.data_preprocessor)
        self.architecture, self.distillation = architecture, distillation
        self._checkpoint = checkpoint

    def init_weights(self) -> None:
        """Load the teacher; the model has its weights."""
        load_dense(self.distillation.teacher.model, self._checkpoint)
        self.architecture.init_weights()

    def forward(self, inputs: Any, data_samples: list | None = None, mode: str = 'tensor') -> Any:
        """Run the model; in mode 'loss' the teacher too."""
        if mode == 'loss':
            return self.distillation.losses(self.architecture, inputs, data_samples)
        return self.architecture(inputs, data_samples, mode)


def distilled(architecture: BaseModel, dense: nn.Module, distill: str | Mapping[str, Any]
              ) -> DistilledModel:
    """Return a compressed model with the dense one as its teacher.

    Args:
        architecture: the compressed model.
        dense: not used otherwise.
        distill: the dense weights, or options with these as `checkpoint`.

    Raises:
        ValueError: there are no weights, or an option is bad.
    """
    options = dict(distill) if isinstance(distill, Mapping) else {'checkpoint': distill}
    checkpoint = options.pop('checkpoint', None)
    if not isinstance(checkpoint, str):
        raise ValueError(f'distill={distill!r} has no weights of the dense model: set distill to '
                         'its checkpoint, or to dict(checkpoint=..., weight=...)')
    return DistilledModel(architecture, OutputDistillation(Teacher(dense, copied=False), options),
                          checkpoint)
