"""A loaded file as MMDeploy calls it."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from mmdeploy.backend.base import BaseWrapper

#: Runs one batch; gives the outputs in order.
Runner = Callable[[np.ndarray], 'list[np.ndarray]']


class RunnerWrapper(BaseWrapper):
    """A loaded file of one input, as MMDeploy's backend models call it.

    Args:
        run: Runs a batch.
        output_names: Outputs in order.
    """

    def __init__(self, run: Runner, output_names: Sequence[str]) -> None:
        super().__init__(output_names)
        self._run = run

    def forward(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run a batch."""
        (batch,) = inputs.values()
        outputs = self._run(batch.cpu().numpy())
        return {name: torch.from_numpy(output) for name, output in zip(self.output_names, outputs)}
