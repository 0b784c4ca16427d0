"""A regressor of signals, and its layer."""
from __future__ import annotations

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from razor_ext.registry import MODELS


class PositionLinear(nn.Module):
    """A matrix of its own at each position.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        positions: Length of the signal.
    """

    def __init__(self, in_channels: int, out_channels: int, positions: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.weight = nn.Parameter(
            torch.randn(positions, in_channels, out_channels) * in_channels ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, in, positions] to [n, out, positions]."""
        y = torch.matmul(x.permute(2, 0, 1), self.weight).permute(1, 2, 0)
        return y.reshape(-1, self.out_channels, len(self.weight))


@MODELS.register_module()
class ToyRegressor(BaseModel):
    """Two convolutions, the layer above, the mean over positions.

    Args:
        channels: Channels of the two convolutions and of the layer.
        data_preprocessor: Config of the data preprocessor; empty for MMEngine's own.
        init_cfg: Initialisation config.
    """

    def __init__(self, channels: tuple[int, int, int] = (8, 12, 10),
                 data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor or None, init_cfg)
        first, second, third = channels
        self.conv1 = nn.Conv1d(2, first, 3, stride=2, padding=1)
        self.conv2 = nn.Conv1d(first, second, 3, stride=2, padding=1)
        self.mix = PositionLinear(second, third, 8)
        self.head = nn.Linear(third, 1)

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None,
                mode: str = 'tensor') -> Tensor | dict[str, Tensor]:
        """Predict [n, 1] from signals [n, 2, 32], or return the loss."""
        x = self.conv2(self.conv1(inputs).relu()).relu()
        x = self.head(self.mix(x).relu().mean(-1))
        if mode == 'loss':
            return dict(loss=nn.functional.mse_loss(x, data_samples))
        return x
