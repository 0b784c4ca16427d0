"""Part-wise losses of gait recognition."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor, nn

from razor_ext.registry import MODELS


def gather_with_grad(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all ranks along dim 0; only this rank's share carries a gradient."""
    if get_world_size() == 1:
        return x
    parts = all_gather(x.detach().contiguous())
    parts[get_rank()] = x
    return torch.cat(parts)


def batch_all_triplet(embeddings: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Batch-all triplet loss per part (Hermans et al., 2017; GaitSet, AAAI 2019).

    Every anchor meets all its positives (itself included) and all its negatives under the Euclidean
    distance; each part averages its non-zero terms, and the parts are averaged.

    Args:
        embeddings (Tensor): ``[n, c, p]``.
        labels (Tensor): ``[n]``.
        margin (float): Margin.

    Returns:
        tuple[Tensor, Tensor]: The loss, and the mean number of non-zero terms per part.
    """
    x = embeddings.permute(2, 0, 1).float()
    # exact differences: distances of a sequence to itself must be 0, and have gradient 0
    dist = torch.cdist(x, x, compute_mode='donot_use_mm_for_euclid_dist')
    same = labels[:, None] == labels[None]
    positives, has_positive = _padded_indices(same)
    negatives, has_negative = _padded_indices(~same)
    ap = dist.gather(2, positives.expand(len(dist), -1, -1))
    an = dist.gather(2, negatives.expand(len(dist), -1, -1))
    terms = F.relu(ap[..., :, None] - an[..., None, :] + margin)
    terms = terms * (has_positive[:, :, None] & has_negative[:, None, :])
    nonzero = (terms > 0).sum((1, 2, 3))
    loss = terms.sum((1, 2, 3)) / nonzero.clamp(min=1)
    return loss.mean(), nonzero.float().mean()


def _padded_indices(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Column indices of the true entries of each row, padded to the longest row, and their mask."""
    counts = mask.sum(1)
    width = int(counts.max())
    order = torch.argsort(mask.int(), dim=1, descending=True, stable=True)[:, :width]
    return order, torch.arange(width, device=mask.device)[None] < counts[:, None]


@MODELS.register_module()
class PartTripletLoss(nn.Module):
    """Batch-all triplet loss over the embeddings of all ranks.

    Args:
        margin (float): Margin.
        loss_weight (float): Factor of the loss.
    """

    def __init__(self, margin: float = 0.2, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.margin = margin
        self.loss_weight = loss_weight

    def forward(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of ``[n, c, p]`` embeddings and the mean count of non-zero terms.

        Each rank differentiates its own share of the gathered batch, and data-parallel training
        averages gradients over ranks: the world size undoes that average.
        """
        embeddings = gather_with_grad(embeddings.float())
        labels = torch.cat(all_gather(labels)) if get_world_size() > 1 else labels
        loss, nonzero = batch_all_triplet(embeddings, labels, self.margin)
        return loss * self.loss_weight * get_world_size(), nonzero


@MODELS.register_module()
class PartCrossEntropyLoss(nn.Module):
    """Cross-entropy of each part's logits against the sequence's label, averaged over parts.

    Args:
        scale (float): Factor of the logits.
        label_smoothing (float): Share of the target spread over all classes.
        loss_weight (float): Factor of the loss.
    """

    def __init__(self, scale: float = 16.0, label_smoothing: float = 0.1,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.label_smoothing = label_smoothing
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of ``[n, classes, p]`` logits against ``[n]`` labels."""
        target = labels[:, None].expand(-1, logits.shape[2])
        loss = F.cross_entropy(logits.float() * self.scale, target,
                               label_smoothing=self.label_smoothing)
        return loss * self.loss_weight
