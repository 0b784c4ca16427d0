"""HESSO: structured pruning alone."""
from __future__ import annotations

from torch import Tensor

from .sparse_optimizer import ACTIVE, GroupSparseOptimizer
from .stages import JOINT


class HESSO(GroupSparseOptimizer):
    """Hybrid efficient structured sparse optimizer.

    After each plain step, active groups are multiplied by (D - tau - 1) / (D - tau), with D the
    steps of a period and tau the steps since it opened, so that they shrink evenly to zero.
    See :class:`GroupSparseOptimizer` for the arguments. Chen et al., HESSO (only_train_once).
    """

    def _finish(self, finite: Tensor) -> None:
        super()._finish(finite)
        plan = self._planned()
        if self.index is None or plan.stage(self._steps) != JOINT:
            return
        left = plan.period - plan.offset(self._steps)
        self.index.scale_(1 - (self._status == ACTIVE).float() / left)
