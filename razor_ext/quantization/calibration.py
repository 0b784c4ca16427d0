"""Set the grids from the weights and from real batches, before training starts."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from . import functional as QF
from .convert import quantizer_handles
from .errors import CalibrationError, QuantConfigError
from .quantizer import Quantizer
from .untouched_norms import batch_statistics, untouched_norms

#: Values an observer keeps of one tensor.
_SAMPLES = 4096
#: Shares of the extreme range tried by the 'mse' method.
_SHRINK = torch.linspace(1.0, 0.2, 41).tolist()


class Observer:
    """Extremes of a stream of tensors, and an evenly spaced sample of its values."""

    def __init__(self) -> None:
        self.low: Tensor | None = None
        self.high: Tensor | None = None
        self.samples: list[Tensor] = []

    def update(self, x: Tensor) -> None:
        """Look at one tensor; does not read from the device."""
        flat = x.detach().float().reshape(-1)
        low, high = torch.aminmax(flat)
        self.low = low if self.low is None else torch.minimum(self.low, low)
        self.high = high if self.high is None else torch.maximum(self.high, high)
        self.samples.append(flat[::_stride(x.shape)].clone())

    @property
    def extremes(self) -> tuple[Tensor, Tensor]:
        """Least and greatest value.

        Raises:
            CalibrationError: no tensor has been seen.
        """
        if self.low is None or self.high is None:
            raise CalibrationError('the observer has seen no tensor')
        return self.low, self.high


def _stride(shape: Sequence[int]) -> int:
    """Return the distance of samples, which has no factor in common with any dimension.

    Else all of them might lie in one column or channel.
    """
    stride = max(1, -(-math.prod(shape) // _SAMPLES))
    while any(math.gcd(stride, size) > 1 for size in shape):
        stride += 1
    return stride


RangeMethod = Callable[[Tensor, Tensor, Tensor, Quantizer, float], tuple[Tensor, Tensor]]


def minmax_range(samples: Tensor, low: Tensor, high: Tensor, quantizer: Quantizer,
                 percentile: float) -> tuple[Tensor, Tensor]:
    """Return the extremes themselves."""
    return low, high


def percentile_range(samples: Tensor, low: Tensor, high: Tensor, quantizer: Quantizer,
                     percentile: float) -> tuple[Tensor, Tensor]:
    """Return the ends that leave (100 - percentile) / 2 % of the samples out on either side."""
    tail = (100 - percentile) / 200
    ordered = samples.sort(dim=-1, stable=True).values
    last = ordered.shape[-1] - 1
    return ordered[..., round(tail * last)], ordered[..., round((1 - tail) * last)]


def mse_range(samples: Tensor, low: Tensor, high: Tensor, quantizer: Quantizer,
              percentile: float) -> tuple[Tensor, Tensor]:
    """Return the shrunken extremes whose grid, at the most bits, errs least on the samples.

    The error is the squared one, of each row of samples by itself.
    """
    signed = quantizer.requested_scheme == 'signed'
    best_error = torch.full_like(low, float('inf'))
    best_low, best_high = low, high
    for share in _SHRINK:
        ends = (low * share).clamp(max=0), (high * share).clamp(min=0)
        span = torch.maximum(-ends[0], ends[1]) if signed else ends[1] - ends[0]
        span = span.clamp(min=torch.finfo(span.dtype).tiny)[..., None]
        d = QF.step_size(quantizer.bit_limits[1], span, 1, 'signed' if signed else 'affine')
        ratio = None if signed else -ends[0][..., None] / span
        x_q = QF.fake_quantize(samples, d, span, scheme='signed' if signed else 'affine',
                               zero_ratio=ratio)
        error = (x_q - samples).square().mean(-1)
        better = error < best_error
        best_error = torch.where(better, error, best_error)
        best_low = torch.where(better, ends[0], best_low)
        best_high = torch.where(better, ends[1], best_high)
    return best_low, best_high


#: Range methods by name.
RANGE_METHODS: dict[str, RangeMethod] = {
    'minmax': minmax_range, 'percentile': percentile_range, 'mse': mse_range}


def run_batch(model: nn.Module, batch: Any) -> None:
    """Call `model` with a tensor, a sequence of positional or a mapping of keyword arguments."""
    if isinstance(batch, Mapping):
        model(**batch)
    elif isinstance(batch, Sequence):
        model(*batch)
    else:
        model(batch)


@torch.no_grad()
def calibrate(model: nn.Module, batches: Iterable[Any] = (), *, method: str = 'mse',
              weight_method: str = 'minmax', percentile: float = 99.99,
              run: Callable[[nn.Module, Any], Any] = run_batch) -> None:
    """Set every quantizer of `model` to the most bits of its limits, and turn it on.

    Weights take their range from themselves, weights of zeros that of PyTorch's initialisation,
    1 / sqrt(fan in); inputs take theirs from what passes through the float model, in evaluation
    mode, for `batches`. Batch norms that have seen no data take the statistics of each batch, as
    training from scratch will. Nothing is set if anything fails.

    Args:
        model: after `quantize_model`, with its weights loaded.
        batches: real inputs; may be empty if only weights are quantized.
        method: 'minmax', 'percentile' or 'mse', for activations.
        weight_method: the same for weights.
        percentile: share of the values kept by 'percentile', in %.
        run: how to run the model on one batch.

    Raises:
        QuantConfigError: an unknown method, or a percentile outside (50, 100].
        CalibrationError: nothing is quantized, a layer was not reached by any batch, or saw values
            that are not finite.
    """
    for name, value in (('method', method), ('weight_method', weight_method)):
        if value not in RANGE_METHODS:
            raise QuantConfigError(f'{name}={value!r} is none of {tuple(RANGE_METHODS)}')
    if not 50 < percentile <= 100:
        raise QuantConfigError(f'percentile={percentile!r} must be above 50 and at most 100')
    handles = quantizer_handles(model)
    if not handles:
        raise CalibrationError('the model has no quantizers; call quantize_model(model, config)')
    observers = {h.name: Observer() for h in handles if h.weight is None}
    _observe(model, batches, run, handles, observers)

    ranges = []
    for handle in handles:
        if handle.weight is not None:
            rows = _rows(handle.weight.detach(), handle.log_d)
            low, high = RANGE_METHODS[weight_method](
                rows, rows.amin(-1), rows.amax(-1), handle.quantizer, percentile)
            if not rows.any():  # a head that is made of zeros: its grid must let it grow
                high = torch.full_like(high, handle.weight[0].numel() ** -.5)
                low = -high
            low, high = (end.view(handle.log_d.shape) for end in (low, high))
        else:
            seen = observers[handle.name]
            low, high = RANGE_METHODS[method](
                torch.cat(seen.samples), *seen.extremes, handle.quantizer, percentile)
            low, high = low.view(1), high.view(1)
        handle.quantizer.check_range(low, high)
        ranges.append((handle.quantizer, low, high))
    for quantizer, low, high in ranges:
        quantizer.set_range(low, high)


def _observe(model: nn.Module, batches: Iterable[Any], run: Callable, handles: list,
             observers: dict[str, Observer]) -> None:
    training = {name: module.training for name, module in model.named_modules()}
    weights = [h.quantizer for h in handles if h.weight is not None]
    enabled = [q.enabled for q in weights]
    try:
        model.eval()
        for handle in handles:
            if handle.weight is None:
                handle.quantizer.observer = observers[handle.name]
            else:
                handle.quantizer.enabled = False
        with batch_statistics(list(untouched_norms(model).values())):
            for batch in batches if observers else ():
                run(model, batch)
    finally:
        for handle in handles:
            handle.quantizer.observer = None
        for quantizer, before in zip(weights, enabled):
            quantizer.enabled = before
        for name, module in model.named_modules():
            module.training = training[name]
    missed = [name for name, observer in observers.items() if not observer.samples]
    if missed:
        raise CalibrationError(
            f'{len(missed)} of {len(observers)} activation quantizers saw no data: '
            f'{", ".join(missed)}; pass batches that reach these layers, or keep them float by '
            'QuantConfig.float_layers')


def _rows(weight: Tensor, scale: Tensor) -> Tensor:
    """View the weight as one row for each element of its scale."""
    if scale.numel() == 1:
        return weight.reshape(1, -1)
    channel_dim = max(range(scale.dim()), key=lambda dim: scale.shape[dim])
    return weight.transpose(0, channel_dim).flatten(1)
