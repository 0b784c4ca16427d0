"""Weights that make the outputs of a layer from what is left of its inputs."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Weights of the distance from where a fit starts, relative to the mean square of the inputs.
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
#: Share of the rows, the last ones, that a fit is judged on.
_HELD = 0.25
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class _Normal:
    """Normal equations of a change to a weight: sums over rows, in float64.

    Attributes:
        rows: how many.
        gram: [..., I, I], of the inputs.
        cross: [..., I, O], of inputs and what the weight leaves of the targets.
        rest: square of what it leaves, a sum over everything.
        total: square of the targets.
    """

    rows: int
    gram: Tensor
    cross: Tensor
    rest: float
    total: float

    @classmethod
    def of(cls, inputs: Tensor, targets: Tensor, weight: Tensor) -> _Normal:
        x, y = inputs.double(), targets.double()
        residual = y - x @ weight.double().mT
        return cls(x.shape[-2], x.mT @ x, x.mT @ residual, float(residual.square().sum()),
                   float(y.square().sum()))

    def __add__(self, other: _Normal) -> _Normal:
        return _Normal(self.rows + other.rows, self.gram + other.gram, self.cross + other.cross,
                       self.rest + other.rest, self.total + other.total)

    def change(self, ridge: float) -> Tensor:
        """Return the change [..., I, O] of least error and distance."""
        gram = self.gram / self.rows
        scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        # Where no input is ever anything but zero, nothing is to be changed.
        gram.diagonal(dim1=-2, dim2=-1).add_(ridge * scale.clamp(min=_TINY))
        return torch.cholesky_solve(self.cross / self.rows, torch.linalg.cholesky(gram))

    def error(self, change: Tensor) -> float:
        """Return the square of what a change leaves."""
        return self.rest + float(((self.gram @ change - 2 * self.cross) * change).sum())


def ridge_fit(inputs: Tensor, targets: Tensor, weight: Tensor, ridge: float) -> Tensor:
    """Return the weight that fits best, drawn to where it starts.

    Minimises |inputs W^T - targets|^2 / N + r |W - weight|^2, r being `ridge` times the mean square
    of the inputs. In float64.

    Args:
        inputs: [..., N, I].
        targets: [..., N, O].
        weight: [..., O, I], where the fit starts.
        ridge: relative weight of the distance, above 0.

    Returns:
        [..., O, I], of the type of `weight`.
    """
    change = _Normal.of(inputs, targets, weight).change(ridge)
    return (weight.double() + change.mT).to(weight.dtype)


def fit_weight(inputs: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, float, float]:
    """Fit a weight as far as the fit holds on rows that it has not seen.

    Args:
        inputs: [..., N, I], rows of one image beside each other.
        targets: [..., N, O].
        weight: [..., O, I], where the fit starts.

    Returns:
        The weight, `weight` itself if no fit is better; and the squared error on the last quarter
        of the rows over the square of its targets, before and after.
    """
    cut = int(inputs.shape[-2] * (1 - _HELD))
    if not 0 < cut < inputs.shape[-2]:
        return weight, 0.0, 0.0
    seen = _Normal.of(inputs[..., :cut, :], targets[..., :cut, :], weight)
    held = _Normal.of(inputs[..., cut:, :], targets[..., cut:, :], weight)
    errors = {ridge: held.error(seen.change(ridge)) for ridge in RIDGES}
    best = min(errors, key=lambda ridge: errors[ridge])
    before, total = held.rest, max(held.total, _TINY)
    if not errors[best] < before:
        return weight, before / total, before / total
    change = (seen + held).change(best)
    return (weight.double() + change.mT).to(weight.dtype), before / total, errors[best] / total
