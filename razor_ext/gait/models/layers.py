"""Building blocks of part-based gait models, written to trace without Python branches on data."""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS


def fold_frames(x: Tensor) -> Tensor:
    """Put the frames of ``[n, c, s, h, w]`` into the batch: ``[n * s, c, h, w]``."""
    n, _, s, h, w = x.shape
    return x.transpose(1, 2).reshape(n * s, -1, h, w)


def unfold_frames(x: Tensor, clips: int, frames: int) -> Tensor:
    """Take the frames out of the batch again: ``[n * s, c, h, w]`` to ``[n, c, s, h, w]``."""
    return x.reshape(clips, frames, -1, x.shape[2], x.shape[3]).transpose(1, 2)


class PartLinear(nn.Module):
    """One matrix per body part, without bias.

    Args:
        num_parts (int): Parts p; each has its own matrix, so this is geometry and no channel.
        in_channels (int): Input channels i, shared by all parts.
        out_channels (int): Output channels o, shared by all parts.
        normalize (bool): Divide every column of every matrix by its L2 norm before use.

    Attributes:
        input_channel_dim (int): Dimension of the input that holds the channels.
    """
    input_channel_dim = 1

    def __init__(self, num_parts: int, in_channels: int, out_channels: int,
                 normalize: bool = False) -> None:
        super().__init__()
        self.normalize = normalize
        self.weight = nn.Parameter(torch.empty(num_parts, in_channels, out_channels))
        self.reset_parameters()

    @property
    def num_parts(self) -> int:
        """Parts p."""
        return self.weight.shape[0]

    @property
    def in_channels(self) -> int:
        """Input channels i, of the weight as it is: slicing has nothing to keep in step."""
        return self.weight.shape[1]

    @property
    def out_channels(self) -> int:
        """Output channels o."""
        return self.weight.shape[2]

    def reset_parameters(self) -> None:
        """Xavier-uniform over the whole stack, the fan GaitSet introduced for these matrices."""
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, i, p]`` to ``[n, o, p]``."""
        weight = F.normalize(self.weight, dim=1) if self.normalize else self.weight
        return torch.matmul(x.permute(2, 0, 1), weight).permute(1, 2, 0)

    def extra_repr(self) -> str:
        return (f'num_parts={self.num_parts}, in_channels={self.in_channels}, '
                f'out_channels={self.out_channels}, normalize={self.normalize}')


@MODELS.register_module()
class HorizontalPyramidPooling(BaseModule):
    """Mean plus max over horizontal bins (GaitSet, AAAI 2019; HPM, AAAI 2019).

    Several maps are pooled one by one, and their parts follow each other.

    Args:
        bins (Sequence[int]): Bins of each pyramid level; each must divide the feature height.
    """

    def __init__(self, bins: Sequence[int] = (16,)) -> None:
        super().__init__()
        self.bins = tuple(bins)

    @property
    def num_parts(self) -> int:
        """Number of parts of one map."""
        return sum(self.bins)

    def forward(self, x: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Pool one or several ``[n, c, h, w]`` to ``[n, c, parts]``."""
        strips = [m.reshape(m.shape[0], -1, b, m.shape[2] // b * m.shape[3])
                  for m in (x if isinstance(x, tuple) else (x, )) for b in self.bins]
        return torch.cat([s.mean(-1) + s.amax(-1) for s in strips], dim=-1)


@MODELS.register_module()
class GeMPooling(BaseModule):
    """Generalised-mean pooling over horizontal bins with one learnable power (GaitGL, ICCV 2021).

    Every bin is divided by its maximum first: the value is the same, and a power of 6.5 then cannot
    overflow half precision, nor can an empty bin reach a denormal.

    Args:
        num_parts (int): Bins; must divide the feature height.
        p (float): Initial power.
        eps (float): Lower clamp of the features.
    """

    def __init__(self, num_parts: int = 64, p: float = 6.5, eps: float = 1e-6) -> None:
        super().__init__()
        self.num_parts = num_parts
        self.eps = eps
        self.p = nn.Parameter(torch.full((1,), float(p)))

    def forward(self, x: Tensor) -> Tensor:
        """Pool ``[n, c, h, w]`` to ``[n, c, parts]``."""
        width = x.shape[2] // self.num_parts * x.shape[3]
        x = x.reshape(x.shape[0], -1, self.num_parts, width).clamp(min=self.eps)
        peak = x.amax(-1, keepdim=True)
        mean = (x / peak).pow(self.p).mean(-1)
        return mean.pow(1.0 / self.p) * peak.squeeze(-1)


class FocalConv2d(nn.Module):
    """3x3 convolution of horizontal strips that do not see each other (GaitPart, CVPR 2020).

    The strips are folded into the batch, where the padding at their cuts is that of an image.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels.
        num_strips (int): Strips; must divide the height of the input.
    """

    def __init__(self, in_channels: int, out_channels: int, num_strips: int) -> None:
        super().__init__()
        self.num_strips = num_strips
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[m, c, h, w]`` to ``[m, o, h, w]``."""
        m, _, h, w = x.shape
        k = self.num_strips
        x = x.reshape(m, -1, k, h // k, w).transpose(1, 2).reshape(m * k, -1, h // k, w)
        x = self.conv(x).reshape(m, k, -1, h // k, w).transpose(1, 2)
        return x.reshape(m, -1, h, w)


class GlobalLocalConv3d(nn.Module):
    """Global 3-D convolution beside a local one that is shared by horizontal strips (GaitGL).

    Strips do not see each other: each is convolved alone, zero padded at its cuts, by folding the
    strips into the batch.

    Args:
        in_channels (int): Input channels.
        out_channels (int): Output channels of either branch.
        num_strips (int): Strips the height is cut into.
        fusion (str): ``'sum'`` adds the two activated branches, ``'cat'`` stacks them along height.
    """

    def __init__(self, in_channels: int, out_channels: int, num_strips: int,
                 fusion: str = 'sum') -> None:
        super().__init__()
        if fusion not in ('sum', 'cat'):
            raise ValueError(f"fusion must be 'sum' or 'cat', not {fusion!r}")
        self.num_strips = num_strips
        self.fusion = fusion
        self.global_conv = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)
        self.local_conv = nn.Conv3d(in_channels, out_channels, 3, padding=1, bias=False)
        self.act = nn.LeakyReLU()

    def _local(self, x: Tensor) -> Tensor:
        n, _, s, h, w = x.shape
        k = self.num_strips
        x = x.reshape(n, -1, s, k, h // k, w).permute(0, 3, 1, 2, 4, 5)
        x = self.local_conv(x.reshape(n * k, -1, s, h // k, w))
        x = x.reshape(n, k, -1, s, h // k, w).permute(0, 2, 3, 1, 4, 5)
        return x.reshape(n, -1, s, h, w)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[n, c, s, h, w]`` to ``[n, o, s, h, w]`` (sum) or ``[n, o, s, 2h, w]`` (cat)."""
        a, b = self.act(self.global_conv(x)), self.act(self._local(x))
        return a + b if self.fusion == 'sum' else torch.cat([a, b], dim=3)
