"""Heads: part features to embeddings, and to class logits while training."""
from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from razor_ext.registry import MODELS

from .layers import PartLinear


class GaitHead(BaseModule):
    """Common part of the heads.

    Args:
        in_channels (int): Channels of the part features.
        embed_channels (int): Channels of the embedding.
        num_parts (int): Body parts.
        num_classes (int, optional): Training subjects; None builds the head for inference only.
        loss_triplet (dict, optional): Config of the loss on embeddings.
        loss_cls (dict, optional): Config of the loss on logits.
    """

    def __init__(self, in_channels: int, embed_channels: int, num_parts: int,
                 num_classes: int | None = None, loss_triplet: dict | None = None,
                 loss_cls: dict | None = None) -> None:
        super().__init__()
        self.num_parts = num_parts
        self.embed_channels = embed_channels
        self.num_classes = num_classes
        self.fc = PartLinear(num_parts, in_channels, embed_channels)
        self.classifier: nn.Module | None = None
        self.loss_triplet = MODELS.build(loss_triplet) if loss_triplet else None
        self.loss_cls = MODELS.build(loss_cls) if loss_cls else None

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``[n, embed_channels, p]`` of features ``[n, c, p]``."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> Tensor:
        """Return what the losses get for an embedding; here the embedding itself."""
        return self(x)

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits ``[n, classes, p]`` of what :meth:`embed` gives."""
        raise NotImplementedError

    def switch_to_deploy(self) -> None:
        """Drop everything the embedding does not need."""
        self.classifier = None
        self.num_classes = None

    def _require_classifier(self) -> nn.Module:
        if self.classifier is None:
            raise RuntimeError(f'{type(self).__name__} was built without num_classes (or switched '
                               'to deploy) and has no logits; set num_classes to train it')
        return self.classifier

    def loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the losses of part features ``[n, c, p]`` with labels ``[n]``."""
        losses = {}
        embedding = self.embed(x)
        if self.loss_triplet is not None:
            losses['loss_triplet'], losses['nonzero'] = self.loss_triplet(embedding, labels)
        if self.loss_cls is not None:
            logits = self.classify(embedding)
            losses['loss_cls'] = self.loss_cls(logits, labels)
            hits = logits.detach().mean(-1).argmax(1) == labels
            losses['accuracy'] = hits.float().mean()
        if not losses:
            raise RuntimeError(f'{type(self).__name__} has no loss: set loss_triplet or loss_cls')
        return losses


@MODELS.register_module()
class PartHead(GaitHead):
    """Embedding that only the triplet loss trains (GaitSet, GaitPart): there is no classifier."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if self.num_classes is not None or self.loss_cls is not None:
            raise ValueError('PartHead has no classifier: leave out num_classes and loss_cls, or '
                             'take PartBNNeckHead')

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``[n, embed_channels, p]`` of features ``[n, c, p]``."""
        return self.fc(x)

    def classify(self, embedding: Tensor) -> Tensor:
        """Refuse."""
        raise RuntimeError("PartHead has no logits; leave tensor_output at 'embedding'")


@MODELS.register_module()
class PartBNNeckHead(GaitHead):
    """Embedding before a BNNeck with a cosine classifier per part (Luo et al., 2019; GaitBase).

    Args:
        *args: See :class:`GaitHead`.
        neck_embedding (bool): Take for the embedding the unit vectors after the neck, and train as
            before.
        **kwargs: See :class:`GaitHead`.
    """

    def __init__(self, *args, neck_embedding: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.neck_embedding = neck_embedding
        self.bn: nn.Module | None = None
        if self.num_classes is not None or neck_embedding:
            self.bn = nn.BatchNorm1d(self.embed_channels * self.num_parts)
        if self.num_classes is not None:
            self.classifier = PartLinear(self.num_parts, self.embed_channels, self.num_classes,
                                         normalize=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``[n, embed_channels, p]`` of features ``[n, c, p]``."""
        embedding = self.embed(x)
        return self._after_neck(embedding) if self.neck_embedding else embedding

    def embed(self, x: Tensor) -> Tensor:
        """Return embeddings before the neck."""
        return self.fc(x)

    def _after_neck(self, embedding: Tensor) -> Tensor:
        assert self.bn is not None  # made with the classifier, and where the embedding needs it
        # channel-major: entry c * num_parts + p of the BatchNorm
        x = self.bn(embedding.flatten(1)).unflatten(1, (-1, self.num_parts))
        return F.normalize(x, dim=1)

    def classify(self, embedding: Tensor) -> Tensor:
        """Return cosines ``[n, classes, p]`` of embeddings before the neck."""
        return self._require_classifier()(self._after_neck(embedding))

    def switch_to_deploy(self) -> None:
        """Drop the classifier, and the neck where it is not deployed."""
        super().switch_to_deploy()
        if not self.neck_embedding:
            self.bn = None


@MODELS.register_module()
class PartBNHead(GaitHead):
    """Embedding after a BatchNorm shared by the parts, and a linear classifier (GaitGL)."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.bn = nn.BatchNorm1d(self.embed_channels)
        if self.num_classes is not None:
            self.classifier = PartLinear(self.num_parts, self.embed_channels, self.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``[n, embed_channels, p]`` of features ``[n, c, p]``."""
        return self.bn(self.fc(x))

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits ``[n, classes, p]``."""
        return self._require_classifier()(embedding)


@MODELS.register_module()
class GLNHead(GaitHead):
    """Embedding before a compact block with a linear classifier (Hou et al., ECCV 2020).

    Args:
        *args: See :class:`GaitHead`; with `num_classes` the compact block is built.
        compact_channels (int): Channels that all parts together are reduced to.
        dropout (float): Share of the features that are dropped before.
        **kwargs: See :class:`GaitHead`.
    """

    def __init__(self, *args, compact_channels: int = 256, dropout: float = 0.9, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.compact: nn.Module | None = None
        if self.num_classes is not None:
            self.compact = nn.Sequential(
                self._norm(self.embed_channels * self.num_parts), nn.Dropout(dropout), nn.ReLU(),
                nn.Linear(self.embed_channels * self.num_parts, compact_channels, bias=False),
                self._norm(compact_channels))
            self.classifier = nn.Linear(compact_channels, self.num_classes, bias=False)

    @staticmethod
    def _norm(channels: int) -> nn.Module:
        norm = nn.BatchNorm1d(channels)
        norm.bias.requires_grad_(False)  # as published: it stays 0
        return norm

    def forward(self, x: Tensor) -> Tensor:
        """Return embeddings ``[n, embed_channels, p]`` of features ``[n, c, p]``."""
        return self.fc(x)

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits ``[n, classes, 1]``."""
        classifier = self._require_classifier()
        assert self.compact is not None  # made with the classifier
        return classifier(self.compact(embedding.flatten(1))).unsqueeze(-1)

    def switch_to_deploy(self) -> None:
        """Drop the compact block and the classifier."""
        super().switch_to_deploy()
        self.compact = None
