"""Learning from the dense model while it is pruned."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from mmengine.model import BaseModel
from mmrazor.models.algorithms.base import BaseAlgorithm
from mmrazor.models.distillers import ConfigurableDistiller
from mmrazor.registry import MODELS
from torch import Tensor, nn

from razor_ext.distillation import OutputDistillation, Teacher, check_distill
from razor_ext.engine.run_models import ArchitectureParts
from razor_ext.structure.dense_weights import load_dense


class DistilledAlgorithm(ArchitectureParts, BaseAlgorithm):
    """An algorithm that may have the dense model as its teacher.

    Args:
        architecture: the dense model, or its config. A plain `nn.Module` is trained by a loop of
            its own, since it knows none of the modes of an MMEngine model.
        data_preprocessor: the data preprocessor; None for the architecture's.
        init_cfg: initialisation config.

    Attributes:
        teacher: the dense model, frozen and in evaluation mode; None without a distiller.
        distiller: MMRazor's distiller; None where nothing is distilled.
    """

    def __init__(self, architecture: nn.Module | dict,
                 data_preprocessor: nn.Module | dict | None = None,
                 init_cfg: dict | None = None) -> None:
        if isinstance(architecture, nn.Module) and not isinstance(architecture, BaseModel):
            # MMRazor's own constructor refuses one; this is the rest of it.
            BaseModel.__init__(self, data_preprocessor, init_cfg)
            self.architecture = cast(BaseModel, architecture)
            self.module_inplace = False
            self.set_module_inplace_false(architecture, 'self.architecture')
        else:
            super().__init__(architecture, data_preprocessor, init_cfg)

    def keep_teacher(self, distiller: dict | None, distill: bool | Mapping[str, Any]) -> None:
        """Copy the dense model, if it is to teach.

        Args:
            distiller: config of one of MMRazor's distillers.
            distill: whether the outputs that the model's family names are learned, or options of
                `OutputDistillation`.

        Raises:
            ValueError: both are set, or an option is bad.
        """
        self.distiller: ConfigurableDistiller | None = None
        self.teacher: nn.Module | None = None
        self.distillation: OutputDistillation | None = None
        if check_distill(distill):
            if distiller is not None:
                raise ValueError('distill and distiller are both set: keep one of them')
            self.distillation = OutputDistillation(
                Teacher(self.architecture), distill if isinstance(distill, Mapping) else {})
        if distiller is not None:
            self.teacher = copy.deepcopy(self.architecture).requires_grad_(False).eval()
            # Its weights are loaded by the algorithm.
            self.teacher.init_weights = lambda: None

    def build_distiller(self, distiller: dict | None) -> None:
        """Build the distiller between the teacher and the architecture as it trains."""
        if distiller is not None:
            self.distiller = MODELS.build(distiller)
            self.distiller.prepare_from_student(self.architecture)
            self.distiller.prepare_from_teacher(self.teacher)

    def init_weights(self) -> None:
        """Load or make the dense weights; the teacher takes the same.

        Raises:
            FileNotFoundError: the checkpoint does not exist.
            ValueError: there is a teacher, but no checkpoint of the dense model; or the checkpoint
                is of another model.
        """
        checkpoint = self._dense_checkpoint()
        if checkpoint is None and (self.teacher is not None or self.distillation is not None):
            raise ValueError('distillation learns from the dense model: set the checkpoint of '
                             'the dense model as architecture.init_cfg or as model.checkpoint')
        if checkpoint is not None:
            # Else every part would fetch its own pretrained weights first.
            self.architecture.is_init = True
        super().init_weights()
        if checkpoint is not None:
            load_dense(self.architecture, checkpoint)
            if self.teacher is not None:
                load_dense(self.teacher, checkpoint)
            if self.distillation is not None:
                load_dense(self.distillation.teacher.model, checkpoint)

    def _dense_checkpoint(self) -> str | None:
        init_cfg = getattr(self.architecture, 'init_cfg', None)
        if isinstance(init_cfg, Mapping) and init_cfg.get('type') == 'Pretrained' \
                and set(init_cfg) <= {'type', 'checkpoint', '_scope_'}:
            return init_cfg['checkpoint']
        return None

    def train(self, mode: bool = True) -> DistilledAlgorithm:
        """Set the training mode; the teacher always evaluates."""
        super().train(mode)
        teacher = getattr(self, 'teacher', None)
        if teacher is not None:
            teacher.eval()
        return self

    def loss(self, inputs: Tensor, data_samples: list | None = None) -> dict[str, Tensor]:
        """Compute the losses of the task, and those of the distiller."""
        if self.distillation is not None:
            return self.distillation.losses(self.architecture, inputs, data_samples)
        if self.distiller is None or self.teacher is None:
            return super().loss(inputs, data_samples)
        distiller = self.distiller
        distiller.set_deliveries_override(False)
        with distiller.teacher_recorders, distiller.deliveries, torch.no_grad():
            self.teacher(inputs, data_samples, mode='loss')
        distiller.set_deliveries_override(True)
        with distiller.student_recorders, distiller.deliveries:
            losses = self.architecture(inputs, data_samples, mode='loss')
        return {**losses, **distiller.compute_distill_losses()}
