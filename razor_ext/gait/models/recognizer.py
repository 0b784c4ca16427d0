"""The gait recogniser: backbone, set pooling, part pooling, head."""
from __future__ import annotations

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from razor_ext.registry import MODELS

from ..structures import GaitDataSample
from .data_preprocessor import packed_lengths


@MODELS.register_module()
class GaitRecognizer(BaseModel):
    """Silhouette sequence to part embeddings.

    Args:
        backbone (dict): Maps ``[n, 1, s, h, w]`` to ``[n, c, s', h', w']``.
        pooling (dict): Maps ``[n, c, h', w']`` to part features ``[n, c, p]``.
        head (dict): Maps part features to embeddings, and holds the losses.
        tensor_output (str): What ``mode='tensor'`` returns: ``'embedding'``, the model as it is
            deployed, or ``'logits'``, the model as it is trained, in which the embedding's channels
            are inner channels and so can be pruned.
        data_preprocessor (dict, optional): Config of :class:`GaitDataPreprocessor`.
        init_cfg (dict | list, optional): Weight initialisation; the default is Xavier-uniform for
            all convolutions.
    """

    def __init__(self, backbone: dict, pooling: dict, head: dict,
                 tensor_output: str = 'embedding', data_preprocessor: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        if tensor_output not in ('embedding', 'logits'):
            raise ValueError("tensor_output must be 'embedding' or 'logits', "
                             f'not {tensor_output!r}')
        if init_cfg is None:
            init_cfg = {'type': 'Xavier', 'layer': ['Conv2d', 'Conv3d'], 'distribution': 'uniform'}
        super().__init__(data_preprocessor or {'type': 'GaitDataPreprocessor'}, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.pooling = MODELS.build(pooling)
        self.head = MODELS.build(head)
        self.tensor_output = tensor_output

    def extract_feat(self, inputs: Tensor, lengths: list[int] | None = None) -> Tensor:
        """Return part features ``[n, c, p]``.

        Args:
            inputs (Tensor): ``[n, 1, s, h, w]``, or ``[1, 1, sum(s), h, w]`` if packed.
            lengths (list[int], optional): Frames of each packed sequence.
        """
        if lengths is None:
            return self.pooling(self.backbone(inputs).amax(dim=2))
        if self.backbone.frame_independent:
            clips = self.backbone(inputs).split(lengths, dim=2)
        else:
            clips = [self.backbone(x) for x in inputs.split(lengths, dim=2)]
        return self.pooling(torch.cat([x.amax(dim=2) for x in clips]))

    def forward(self, inputs: Tensor, data_samples: list[GaitDataSample] | None = None,
                mode: str = 'tensor') -> Tensor | dict[str, Tensor] | list[GaitDataSample]:
        """Run the model.

        Args:
            inputs (Tensor): Silhouettes in [0, 1], ``[n, 1, s, h, w]``, or packed along time.
            data_samples (list[GaitDataSample], optional): One per sequence.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``.

        Returns:
            Tensor, the losses, or the data samples with their ``embedding`` ``[c, p]``.
        """
        x = self.extract_feat(inputs, packed_lengths(inputs, data_samples))
        if mode == 'loss':
            return self.head.loss(x, self._labels(data_samples, x.device))
        embedding = self.head(x)
        if mode == 'tensor':
            return embedding if self.tensor_output == 'embedding' else self.head.classify(embedding)
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
