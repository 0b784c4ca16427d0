"""Per-part matrices as linear maps, by which compression without training fits them."""
from __future__ import annotations

import torch
from torch import Tensor

from razor_ext.posttraining.rows import LayerRows, register_rows

from .models.layers import PartLinear


@register_rows(PartLinear)
class PartRows(LayerRows):
    """Matrices ``[p, i, o]`` of inputs ``[n, i, p]``: maps ``[p, n, i]``; places are rows n."""

    channel_dim = 2

    def draw(self, output: Tensor, rows: int, generator: torch.Generator) -> Tensor:
        """Draw rows; see the base class."""
        return torch.randperm(len(output), generator=generator)[:rows].sort().values

    def outputs(self, output: Tensor, places: Tensor) -> Tensor:
        """Return an output at some rows; see the base class."""
        return output[places.to(output.device)].permute(2, 0, 1)

    def inputs(self, x: Tensor, places: Tensor) -> Tensor:
        """Return what makes the output at some rows; see the base class."""
        return self.outputs(x, places)

    def weight(self) -> Tensor:
        """Return the matrices; see the base class."""
        return self.module.weight.detach().mT

    @torch.no_grad()
    def set_weight(self, rows: Tensor) -> None:
        """Give the layer other matrices; see the base class."""
        self.module.weight.copy_(rows.mT)
