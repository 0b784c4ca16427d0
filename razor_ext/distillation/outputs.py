"""Distillation of what a family names as the outputs of its models."""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from razor_ext.engine.families import find_distillation
from razor_ext.engine.family import Distillation

from .losses import DISTILL_LOSSES
from .recording import recorded
from .teacher import Teacher

#: Of a model that no family knows.
OUTPUTS = Distillation((), 'outputs')


def check_distill(distill: bool | Mapping[str, Any]) -> bool:
    """Return whether a setting `distill` distils.

    Args:
        distill: True, False, or options: `weight`, `temperature`, `checkpoint`.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(distill, (bool, Mapping)):
        raise ValueError(f'distill={distill!r}: True, False, or a dict of options such as '
                         'dict(weight=1.0, temperature=2.0)')
    return bool(distill) or isinstance(distill, Mapping)


class OutputDistillation:
    """Adds the loss of a student's outputs against its teacher's to those of the task.

    Args:
        teacher: the dense model; its type says what is compared and how.
        options: `weight`, the factor of the loss, and arguments of the loss (`temperature`).

    Raises:
        ValueError: the loss has no such option.
    """

    def __init__(self, teacher: Teacher, options: Mapping[str, Any]) -> None:
        spec = find_distillation(teacher.model) or OUTPUTS
        self.teacher, self.spec = teacher, spec
        self._loss = DISTILL_LOSSES.get(spec.loss)
        settings = {**spec.options, **options}
        self.weight = float(settings.pop('weight', 1.))
        known = list(inspect.signature(self._loss).parameters)[3:]
        unknown = sorted(set(settings) - set(known))
        if unknown or self.weight <= 0 or any(value <= 0 for value in settings.values()):
            raise ValueError(f'distill={dict(options)}: the outputs of a '
                             f'{type(teacher.model).__name__} are compared by {spec.loss!r}, whose '
                             f'options are {", ".join(["weight", *known])}, all above 0')
        self._settings = settings

    def __deepcopy__(self, memo: dict) -> OutputDistillation:
        return self

    def losses(self, student: nn.Module, inputs: Tensor, data_samples: list | None
               ) -> dict[str, Tensor]:
        """Compute the losses of the task, and `loss_distill`.

        Args:
            student: the architecture that trains.
            inputs: of both, preprocessed.
            data_samples: of both.
        """
        methods, teacher = self.spec.methods, self.teacher.on(next(student.parameters()).device)
        with torch.no_grad(), recorded(teacher, methods) as wanted:
            output = teacher(inputs, data_samples, mode=self.spec.teacher_mode)
        with recorded(student, methods) as found:
            losses = student(inputs, data_samples, mode='loss')
        if methods:
            pair = [self._results(found), self._results(wanted)]
        else:
            pair = [[student(inputs, data_samples, mode='tensor')], [output]]
        loss = self._loss(*pair, student, **self._settings)
        return {**losses, 'loss_distill': self.weight * loss}

    def _results(self, results: Mapping[str, Any]) -> list[Any]:
        missing = [name for name in self.spec.methods if name not in results]
        if missing:
            raise RuntimeError(
                f'distill: a {type(self.teacher.model).__name__} does not call '
                f'{", ".join(missing)} while it trains, so that there is nothing to compare; leave '
                'distill out, or set `distiller` to one of MMRazor\'s')
        return [results[name] for name in self.spec.methods]
