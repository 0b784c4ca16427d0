"""Batches of frames: stacked where lengths agree, packed along time where they differ."""
from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from razor_ext.registry import MODELS

from ..structures import GaitDataSample


def packed_lengths(inputs: Tensor, data_samples: list[GaitDataSample] | None) -> list[int] | None:
    """Sequence lengths of a packed batch ``[1, c, sum(s), h, w]``, or None if it is stacked.

    Raises:
        ValueError: If inputs and data samples disagree.
    """
    if not data_samples or len(data_samples) == inputs.shape[0]:
        return None
    lengths = [sample.num_frames for sample in data_samples]
    if inputs.shape[0] != 1 or inputs.shape[2] != sum(lengths):
        raise ValueError(f'inputs {tuple(inputs.shape)} fit neither {len(data_samples)} stacked '
                         f'sequences nor sequences packed with lengths {lengths}')
    return lengths


@MODELS.register_module()
class GaitDataPreprocessor(BaseDataPreprocessor):
    """Cast, scale and batch uint8 frames, silhouettes or others.

    Equal lengths are stacked to ``[n, c, s, h, w]``; unequal ones are packed along time to
    ``[1, c, sum(s), h, w]``, their lengths standing in the data samples, which stay on the host.

    Args:
        scale (float | None): Factor of the pixel values. None is for part labels: they are taken as
            they are, and a sequence in which 255 occurs is one of silhouettes, divided by 255.
        min_frames (int): Shorter sequences are repeated, whole, until they have that many frames.
        non_blocking (bool): Whether to copy to the device asynchronously.
    """

    def __init__(self, scale: float | None = 1 / 255, min_frames: int = 1,
                 non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        self.scale = scale
        self.min_frames = min_frames

    def _check(self, frames: Tensor, name: str) -> Tensor:
        if not isinstance(frames, Tensor) or frames.dim() != 4:
            shape = tuple(frames.shape) if isinstance(frames, Tensor) else type(frames).__name__
            raise ValueError(f'{name}: frames must be a tensor [c, s, h, w], got {shape}')
        if frames.shape[1] == 0:
            raise ValueError(f'{name}: the sequence has no frames')
        repeats = -(-self.min_frames // frames.shape[1])
        return frames.repeat(1, repeats, 1, 1) if repeats > 1 else frames

    def forward(self, data: dict, training: bool = False) -> dict:
        """Collate ``dict(inputs=[[c, s, h, w], ...], data_samples=[...])`` onto the device.

        Inputs may be a batch ``[n, c, s, h, w]``, and data samples None, as MMRazor's tools give.
        """
        samples = data.get('data_samples')
        samples = None if samples is None else list(samples)
        names = [f'sequence {i}' for i in range(len(data['inputs']))] if samples is None else [
            sample.get('path', f'sequence {i}') for i, sample in enumerate(samples)]
        frames = [self._check(x, name) for x, name in zip(data['inputs'], names)]
        if self.scale is None:
            frames = [x.float() / (255 if bool((x == 255).any()) else 1) for x in frames]
        for sample, x in zip(samples or (), frames):
            sample.set_metainfo({'num_frames': x.shape[1]})
        equal = len({x.shape[1] for x in frames}) == 1
        inputs = torch.stack(frames) if equal else torch.cat(frames, dim=1)[None]
        inputs = self.cast_data(inputs).float()
        if self.scale is not None:
            inputs = inputs * self.scale
        return {'inputs': inputs, 'data_samples': samples}
