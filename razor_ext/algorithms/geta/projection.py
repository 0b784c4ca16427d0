"""Bit widths of all quantizers, kept inside their ranges by moving only the step sizes.

A quantizer with clipping range q_m, exponent t and step size d has
b = log2(q_m^t / d + 1) + 1 bits where it is signed, one less where it is not. The three are held as
logarithms, so that a bound on b is a bound on log d.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from razor_ext.pruning.channel_index import padded_table

from .stages import BitRange


class BitHandle(Protocol):
    """What the optimizer needs of one quantizer.

    Attributes:
        name: Unique name.
        weight: The quantized parameter; None where an activation is quantized.
        log_d, log_q_m, log_t: Logarithms of step size, clipping range and exponent: one element or
            one per output channel. ``log_t`` is None where the exponent is fixed to 1.
        signed: Whether the grid reaches below zero.
        scaled_elements: Values that share a step, N, where the gradients of the scales hold the
            factor 1 / sqrt(N * L) of LSQ; 0 where they do not.
    """

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> Tensor | None: ...

    @property
    def log_d(self) -> Tensor: ...

    @property
    def log_q_m(self) -> Tensor: ...

    @property
    def log_t(self) -> Tensor | None: ...

    @property
    def signed(self) -> bool: ...

    @property
    def scaled_elements(self) -> int: ...


def log_levels(bits: Tensor, signed: Tensor) -> Tensor:
    """log of the number of steps between zero and q_m^t: 2^(b - 1) - 1, or 2^b - 1 if unsigned."""
    return torch.log(torch.exp2(bits - signed.to(bits.dtype)) - 1)


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([t if t.dim() == 1 else t.reshape(-1) for t in tensors]).detach()


class BitBank:
    """Quantizers, their scales concatenated.

    Args:
        handles: Quantizers.
        weight_bits, activation_bits: Range of each kind.
        own: Ranges of single quantizers, by name.

    Raises:
        ValueError: Two handles with one name, scales of unfitting sizes, or several devices.
    """

    def __init__(self, handles: Sequence[BitHandle], weight_bits: BitRange,
                 activation_bits: BitRange, own: Mapping[str, BitRange] | None = None) -> None:
        self.handles = list(handles)
        if len({handle.name for handle in handles}) != len(handles):
            raise ValueError('two quantizers bear the same name')
        own = own or {}
        self.ranges = [own.get(h.name, activation_bits if h.weight is None else weight_bits)
                       for h in handles]
        self.sizes = [h.log_d.numel() for h in handles]
        for handle in handles:
            for other in (handle.log_q_m, handle.log_t):
                if other is not None and other.numel() not in (1, handle.log_d.numel()):
                    raise ValueError(f'{handle.name}: {other.numel()} scales next to '
                                     f'{handle.log_d.numel()} step sizes')
        devices = {handle.log_d.device for handle in handles}
        if len(devices) != 1:
            raise ValueError(f'quantizers lie on several devices: {sorted(map(str, devices))}')
        self.device = devices.pop()
        sizes = torch.tensor(self.sizes)
        self._signed = torch.tensor([h.signed for h in handles]).repeat_interleave(sizes).to(
            self.device)
        #: Scale parameters: log d and log q_m of each quantizer, log t of those that learn it.
        self.step_sizes, self.clip_ranges = [h.log_d for h in handles], [h.log_q_m for h in handles]
        self.exponents = [h.log_t for h in handles if h.log_t is not None]
        self.learns_t = bool(self.exponents)
        #: Slices of each quantizer in the concatenation.
        self.slices = [slice(int(stop - n), int(stop)) for stop, n in zip(sizes.cumsum(0), sizes)]
        widths = [q.numel() for q in self.clip_ranges]
        self._q_index = None if widths == self.sizes else self._spread(widths)
        # Quantizers without an exponent point at the 0 appended to the exponents' logarithms.
        self._t_index = self._spread([0 if h.log_t is None else h.log_t.numel() for h in handles])
        #: Step sizes of each range and exponent, see :func:`gather_sums`; None: one range each.
        self.range_table = None if self._q_index is None else padded_table(
            self._q_index.cpu(), sum(widths)).to(self.device)
        self.exponent_table = padded_table(
            self._t_index.cpu(), sum(t.numel() for t in self.exponents)).to(self.device)

    def _spread(self, widths: Sequence[int]) -> Tensor:
        parts, start, end = [], 0, sum(widths)
        for width, size in zip(widths, self.sizes):
            if width == 0:
                parts.append(torch.full((size,), end))
            else:
                part = torch.arange(start, start + width)
                parts.append(part.expand(size) if width == 1 else part)
            start += width
        return torch.cat(parts).to(self.device)

    def subset(self, numbers: Sequence[int]) -> BitBank:
        """A bank of some of the quantizers."""
        bank = BitBank([self.handles[i] for i in numbers], BitRange(), BitRange())
        bank.ranges = [self.ranges[i] for i in numbers]
        return bank

    def parameters(self) -> list[Tensor]:
        """Every scale parameter: d, then q_m, then t of all quantizers."""
        return self.step_sizes + self.clip_ranges + self.exponents

    def log_d(self) -> Tensor:
        """Concatenated log d [N]."""
        return _flat(self.step_sizes)

    def step_size_gradients(self) -> Tensor:
        """Concatenated gradients of log d [N]; 0 where there is none."""
        return _flat([torch.zeros_like(d) if d.grad is None else d.grad for d in self.step_sizes])

    def log_q_m(self) -> Tensor:
        """Concatenated log q_m [N]."""
        flat = _flat(self.clip_ranges)
        return flat if self._q_index is None else flat[self._q_index]

    def t(self) -> Tensor:
        """Concatenated exponents [N]."""
        flat = _flat([*self.exponents, torch.zeros(1, device=self.device)])
        return flat[self._t_index].exp()

    def log_range(self) -> Tensor:
        """Concatenated log q_m^t [N]."""
        return self.t() * self.log_q_m() if self.learns_t else self.log_q_m()

    def bits(self) -> Tensor:
        """Bit widths [N], one per step size."""
        steps = torch.exp(self.log_range() - self.log_d())
        return torch.log2(steps + 1) + self._signed

    def layer_bits(self) -> dict[str, float]:
        """Mean bit width of each quantizer by name; reads from the device."""
        bits = self.bits().cpu()
        return {h.name: float(bits[part].mean()) for h, part in zip(self.handles, self.slices)}

    def limits(self, stair: int, stairs: int) -> tuple[Tensor, Tensor]:
        """log of the number of steps at the fewest and at the most bits [N]."""
        low = torch.tensor([float(r.min_bits) for r in self.ranges])
        high = torch.tensor([r.ceiling(stair, stairs) for r in self.ranges])
        return self._levels(low), self._levels(high)

    def frozen_limits(self, bits: Tensor) -> tuple[Tensor, Tensor]:
        """Limits that hold each quantizer at integer ``bits`` [number of quantizers]."""
        levels = self._levels(bits.float())
        return levels, levels

    def _levels(self, per_handle: Tensor) -> Tensor:
        spread = per_handle.cpu().repeat_interleave(torch.tensor(self.sizes)).to(self.device)
        return log_levels(spread, self._signed)

    def rounded(self) -> Tensor:
        """Integer bits per quantizer, inside its final range: IntTensor on the CPU."""
        means = self.layer_bits().values()
        return torch.tensor([min(max(round(b), r.min_bits), r.max_bits)
                             for b, r in zip(means, self.ranges)], dtype=torch.int32)

    @torch.no_grad()
    def clamp_(self, limits: tuple[Tensor, Tensor], log_d: Tensor | None = None) -> None:
        """Move the step sizes so that every bit width is inside the limits.

        Args:
            limits: See :meth:`limits`.
            log_d: Step sizes to start from; None takes the quantizers' own.
        """
        low, high = limits
        span = self.log_range()
        self.set_log_d_(
            torch.clamp(self.log_d() if log_d is None else log_d, span - high, span - low))

    @torch.no_grad()
    def set_log_d_(self, log_d: Tensor) -> None:
        """Write concatenated log d [N] back."""
        torch._foreach_copy_(self.step_sizes, [part.view_as(d) for d, part in zip(
            self.step_sizes, log_d.split(self.sizes))])
