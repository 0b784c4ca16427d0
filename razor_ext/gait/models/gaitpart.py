"""GaitPart's pooling: parts of every frame, then short-range templates over time."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS

from .layers import HorizontalPyramidPooling, fold_frames

#: Frames that the templates of the two builders see, and kernels of their second convolutions.
_BUILDERS = ((3, 1), (5, 3))


@MODELS.register_module()
class MicroMotionPooling(BaseModule):
    """Micro-motion capture modules and the maximum over frames (Fan et al., *GaitPart*, CVPR 2020).

    Each part has two template builders of its own: convolutions over time score the channels of a
    template, which is the mean plus the maximum of 3 or 5 frames.

    Args:
        in_channels (int): Channels of the maps.
        bins (Sequence[int]): Bins of each pyramid level.
        squeeze (int): Factor between the channels and those inside a builder.
        init_cfg (dict, optional): MMEngine weight initialisation.
    """

    over_time = True

    def __init__(self, in_channels: int, bins: Sequence[int] = (16, ), squeeze: int = 4,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.pyramid = HorizontalPyramidPooling(bins)
        self.builders = nn.ModuleList(
            nn.ModuleList(self._scores(in_channels, in_channels // squeeze, kernel)
                          for _ in range(self.num_parts)) for _, kernel in _BUILDERS)

    @staticmethod
    def _scores(channels: int, hidden: int, kernel: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv1d(channels, hidden, 3, padding=1, bias=False), nn.LeakyReLU(inplace=True),
            nn.Conv1d(hidden, channels, kernel, padding=kernel // 2, bias=False))

    @property
    def num_parts(self) -> int:
        """Number of parts."""
        return self.pyramid.num_parts

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``[n, c, s, h, w]`` to ``[n, c, parts]``."""
        n, s = x.shape[0], x.shape[2]
        p = self.num_parts
        parts = self.pyramid(fold_frames(x)).reshape(n, s, -1, p).permute(3, 0, 2, 1)
        frames = parts.reshape(p * n, -1, s)
        terms = []
        for (reach, _), builder in zip(_BUILDERS, self.builders):
            scores = torch.stack([
                conv(parts[i]) for i, conv in enumerate(builder.children())]).sigmoid()
            template = F.avg_pool1d(frames, reach, 1, reach // 2) + F.max_pool1d(
                frames, reach, 1, reach // 2)
            terms.append(template.reshape(p, n, -1, s) * scores)
        return (terms[0] + terms[1]).amax(-1).permute(1, 2, 0)
