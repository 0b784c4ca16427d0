"""The gait recogniser: backbone, set pooling, neck, part pooling, head."""
from __future__ import annotations

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from razor_ext.registry import MODELS

from ..structures import GaitDataSample
from .data_preprocessor import packed_lengths


def _as_tuple(maps: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return maps if isinstance(maps, tuple) else (maps, )


@MODELS.register_module()
class GaitRecognizer(BaseModel):
    """Silhouette sequence, or one of other maps, to part embeddings.

    Args:
        backbone (dict): Maps ``[n, c, s, h, w]`` to ``[n, c, s', h', w']``, or to several such.
        pooling (dict): Maps ``[n, c, h', w']`` to part features ``[n, c, p]``; with the attribute
            ``over_time`` it takes the backbone's maps themselves, and pools frames as well.
        neck (dict, optional): Changes the maps ``[n, c, h', w']`` after the maximum over frames.
        head (dict): Maps part features to embeddings, and holds the losses.
        tensor_output (str): What ``mode='tensor'`` returns: ``'embedding'``, the model as it is
            deployed, or ``'logits'``, the model as it is trained, in which the embedding's channels
            are inner channels and so can be pruned.
        data_preprocessor (dict, optional): Config of :class:`GaitDataPreprocessor`.
        init_cfg (dict | list, optional): Weight initialisation; the default is Xavier-uniform for
            all convolutions and linear layers.
    """

    def __init__(self, backbone: dict, pooling: dict, head: dict,
                 tensor_output: str = 'embedding', data_preprocessor: dict | None = None,
                 init_cfg: dict | list | None = None, neck: dict | None = None) -> None:
        if tensor_output not in ('embedding', 'logits'):
            raise ValueError("tensor_output must be 'embedding' or 'logits', "
                             f'not {tensor_output!r}')
        if init_cfg is None:
            init_cfg = {'type': 'Xavier', 'layer': ['Conv1d', 'Conv2d', 'Conv3d', 'Linear'],
                        'distribution': 'uniform'}
        super().__init__(data_preprocessor or {'type': 'GaitDataPreprocessor'}, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else None
        self.pooling = MODELS.build(pooling)
        self.head = MODELS.build(head)
        self.tensor_output = tensor_output

    def extract_feat(self, inputs: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Return part features ``[n, c, p]``.

        Args:
            inputs (Tensor): ``[n, c, s, h, w]``, or ``[1, c, sum(s), h, w]`` if packed.
            lengths (list[int], optional): Frames of each packed sequence.
        """
        clips = self._clip_maps(inputs, lengths)
        if getattr(self.pooling, 'over_time', False):
            return torch.cat([self.pooling(clip) for clip, in clips])
        maps: Tensor | tuple[Tensor, ...] = tuple(
            torch.cat([m.amax(dim=2) for m in level]) for level in zip(*clips))
        if self.neck is not None:
            maps = self.neck(maps)
        elif len(maps) == 1:
            maps = maps[0]
        return self.pooling(maps)

    def _clip_maps(self, inputs: Tensor, lengths: list[int] | None) -> list[tuple[Tensor, ...]]:
        """Return the backbone's maps of every packed sequence, or of the stack as one."""
        if lengths is None:
            return [_as_tuple(self.backbone(inputs))]
        if self.backbone.frame_independent:
            levels = [m.split(lengths, dim=2) for m in _as_tuple(self.backbone(inputs))]
            return list(zip(*levels))
        if self.training and any(isinstance(m, _BatchNorm) for m in self.backbone.modules()):
            raise ValueError(
                f'sequences of {sorted(set(lengths))} frames share a batch, and '
                f'{type(self.backbone).__name__} convolves over frames: its BatchNorm would see '
                "one sequence at a time; train it with SampleFrames(mode='fixed')")
        return [_as_tuple(self.backbone(x)) for x in inputs.split(lengths, dim=2)]

    def forward(self, inputs: Tensor, data_samples: list[GaitDataSample] | None = None,
                mode: str = 'tensor') -> Tensor | dict[str, Tensor] | list[GaitDataSample]:
        """Run the model.

        Args:
            inputs (Tensor): Frames in [0, 1], ``[n, c, s, h, w]``, or packed along time.
            data_samples (list[GaitDataSample], optional): One per sequence.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            Tensor, the losses, or the data samples with their ``embedding`` ``[c, p]``.
        """
        x = self.extract_feat(inputs, packed_lengths(inputs, data_samples))
        if mode == 'loss':
            return self.head.loss(x, self._labels(data_samples, x.device))
        if mode == 'tensor' and self.tensor_output == 'logits':
            return self.head.classify(self.head.embed(x))
        embedding = self.head(x)
        if mode == 'tensor':
            return embedding
        if mode == 'predict':
            if data_samples is None:
                raise ValueError("mode='predict' needs data_samples, one for each sequence")
            for sample, e in zip(data_samples, embedding):
                sample.set_field(e, 'embedding')
            return data_samples
        raise ValueError(f"mode must be 'tensor', 'loss' or 'predict', not {mode!r}")

    def _labels(self, data_samples: list[GaitDataSample] | None, device: torch.device) -> Tensor:
        if data_samples is None:
            raise ValueError("mode='loss' needs data_samples, one for each sequence")
        labels = torch.stack([sample.gt_label for sample in data_samples]).to(device)
        classes = self.head.num_classes
        if classes is not None and int(labels.max()) >= classes:
            raise ValueError(f'label {int(labels.max())} of {data_samples[0].get("path")} or a '
                             f'neighbour does not fit head.num_classes={classes}: set it to the '
                             'number of training subjects')
        return labels

    def switch_to_deploy(self) -> nn.Module:
        """Drop what only training needs (classifier, BNNeck); returns the model."""
        self.head.switch_to_deploy()
        self.tensor_output = 'embedding'
        return self
