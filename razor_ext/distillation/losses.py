"""What a student's outputs lose against a teacher's.

A loss takes the recorded results of both models, one for each method that the family names, and the
student; it returns one scalar.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import Registry
from torch import Tensor

#: Losses by the name that a family's `Distillation` has.
DISTILL_LOSSES = Registry('loss between the outputs of a student and its teacher')


def divergence(student: Tensor, teacher: Tensor, temperature: float, dim: int) -> Tensor:
    """Return T^2 KL(teacher || student) of softened logits, without the sum over `dim`.

    The factor keeps the size of the gradients as T changes (Hinton et al., arXiv:1503.02531).
    """
    soft = F.log_softmax(student.float() / temperature, dim)
    target = F.log_softmax(teacher.float() / temperature, dim)
    return F.kl_div(soft, target, reduction='none', log_target=True) * temperature ** 2


@DISTILL_LOSSES.register_module(name='simcc')
def simcc_loss(student: Sequence[Any], teacher: Sequence[Any], model: Any,
               temperature: float = 1.) -> Tensor:
    """Divergence of the distributions of each keypoint over x and y, on the scale of the task's.

    Args:
        student, teacher: the head's logits (x [n, keypoints, bins], y alike).
        model: the head's loss says by what `beta` it multiplies them.
        temperature: softens both.
    """
    beta = getattr(getattr(model.head, 'loss_module', None), 'beta', 1.)
    # As MMPose's KLDiscretLoss reduces: the mean over bins and keypoints, the sum over the batch.
    return torch.stack([
        divergence(s * beta, t * beta, temperature, -1).mean(-1).mean(-1).sum()
        for s, t in zip(student[0], teacher[0])]).sum()


@DISTILL_LOSSES.register_module(name='logits')
def logits_loss(student: Sequence[Any], teacher: Sequence[Any], model: Any,
                temperature: float = 2.) -> Tensor:
    """Divergence of class distributions.

    Args:
        student, teacher: logits [n, classes].
        model: not looked at.
        temperature: softens both.
    """
    return divergence(student[0], teacher[0], temperature, 1).sum(1).mean()


@DISTILL_LOSSES.register_module(name='gait')
def gait_loss(student: Sequence[Any], teacher: Sequence[Any], model: Any,
              temperature: float = 2.) -> Tensor:
    """Angles between embeddings of each part, and the divergence of its class distributions.

    Args:
        student, teacher: embeddings [n, channels, parts], and logits [n, classes, parts] where the
            head has a classifier.
        model: the head's loss says by what it multiplies logits.
        temperature: softens both logits.
    """
    loss = (1 - F.cosine_similarity(student[0].float(), teacher[0].float(), dim=1)).mean()
    if len(student) > 1:
        scale = getattr(model.head.loss_cls, 'scale', 1.)
        loss = loss + divergence(student[1] * scale, teacher[1] * scale, temperature,
                                 1).sum(1).mean()
    return loss


@DISTILL_LOSSES.register_module(name='outputs')
def outputs_loss(student: Sequence[Any], teacher: Sequence[Any], model: Any) -> Tensor:
    """Squared error of every tensor over the variance of the teacher's, their mean.

    Args:
        student, teacher: tensors, or nested containers of them.
        model: not looked at.
    """
    return torch.stack([F.mse_loss(s.float(), t.float())
                        / t.float().var(unbiased=False).clamp_min(1e-8)
                        for s, t in zip(_tensors(student), _tensors(teacher))]).mean()


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    items = value.values() if isinstance(value, Mapping) else value
    return [t for item in items for t in _tensors(item)] if isinstance(
        value, (Mapping, list, tuple)) else []
