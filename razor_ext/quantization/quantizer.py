"""One learnable grid as a module: scales positive by construction, off until calibrated."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from . import functional as QF
from .errors import CalibrationError

_UNSET = -1
_SCHEMES = tuple(QF.SIGN_BITS)
#: Ranges below this (all-zero tensors) would make steps of 0.
_SMALLEST_RANGE = 1e-8


class Observes(Protocol):
    """What looks at tensors during calibration."""

    def update(self, x: Tensor) -> None:
        """Look at one tensor."""


class Quantizer(nn.Module):
    """A learnable grid for one tensor.

    Parameters are logarithms, so d, q_m and t are positive whatever an optimizer does:
    ``log_d`` and ``log_q_m`` of `shape`, ``log_t`` [1] where `power`, ``zero_ratio`` [1] where the
    scheme may be affine. They want a learning rate of their own and no weight decay.

    Args:
        name: unique name for messages, `<layer>.weight` or `<layer>.<operand>`.
        scheme: 'signed', 'unsigned', 'affine', or 'auto', which `set_range` resolves.
        bit_limits: fewest and most bits; calibration starts at the most.
        shape: shape of the scales, which broadcasts with the tensor.
        power: learn the exponent t.
        per_sample: the first dimension is a batch, not counted by the gradient scale.
        lsq_grad_scale: scale the gradients of the scales as LSQ does.
    """

    code: Tensor

    def __init__(self, name: str, scheme: str, bit_limits: tuple[int, int],
                 shape: tuple[int, ...] = (1,), power: bool = False, per_sample: bool = False,
                 lsq_grad_scale: bool = True) -> None:
        super().__init__()
        self.name = name
        self.requested_scheme = scheme
        self.bit_limits = bit_limits
        self.per_sample = per_sample
        self.lsq_grad_scale = lsq_grad_scale
        #: Values that shared a step in the last tensor (of one sample where `per_sample`).
        self.elements = 1
        #: False passes tensors through.
        self.enabled = True
        #: Set during calibration: sees each tensor, which then passes through.
        self.observer: Observes | None = None
        self.log_d = nn.Parameter(torch.zeros(shape))
        self.log_q_m = nn.Parameter(torch.zeros(shape))
        self.log_t = nn.Parameter(torch.zeros(1)) if power else None
        self.zero_ratio = nn.Parameter(torch.zeros(1)) if scheme in ('auto', 'affine') else None
        self._scheme: str | None = None
        self._fixed_bits = 0
        # (scheme, fixed bits): found during training, so a part of the state.
        self.register_buffer('code', torch.tensor([_UNSET, 0]))

    @property
    def calibrated(self) -> bool:
        """Whether the scales have been set."""
        return self._scheme is not None

    @property
    def scheme(self) -> str:
        """'signed', 'unsigned' or 'affine'; 'auto' before calibration."""
        return self._scheme or self.requested_scheme

    @property
    def signed(self) -> bool:
        """Whether a bit goes to the sign; known before calibration."""
        return self.requested_scheme == 'signed'

    @property
    def fixed_bits(self) -> int | None:
        """Whole bit width that d is bound to; None while d is free."""
        return self._fixed_bits or None

    @property
    def d(self) -> Tensor:
        """Step sizes."""
        return self._step(self.q_m, self.t)

    def _step(self, q_m: Tensor, t: Tensor | None) -> Tensor:
        if not self._fixed_bits:
            return self.log_d.exp()
        top = q_m if t is None else q_m ** t
        d = top / QF.levels_of_bits(self._fixed_bits, self._bit_scheme)
        # DDP expects a gradient for every parameter, of value 0 here.
        return d + 0 * self.log_d if torch.is_grad_enabled() else d

    @property
    def _bit_scheme(self) -> str:
        return 'signed' if self.signed else 'unsigned'

    @property
    def q_m(self) -> Tensor:
        """Clipping ranges; widths of the ranges where the scheme is affine."""
        return self.log_q_m.exp()

    @property
    def t(self) -> Tensor | None:
        """Exponent, None where it is fixed to 1."""
        return None if self.log_t is None else self.log_t.exp()

    @property
    def zero_point(self) -> Tensor:
        """Zero point [1] of the stored integers; 0 unless the scheme is affine."""
        if self._scheme != 'affine' or self.zero_ratio is None:
            return torch.zeros(1, device=self.log_d.device)
        return QF.zero_point(self.zero_ratio, self.d, self.q_m)

    def levels(self) -> Tensor:
        """Return L, the steps of one side (signed) or of the range."""
        if self._fixed_bits:
            levels = float(QF.levels_of_bits(self._fixed_bits, self._bit_scheme))
            return torch.full_like(self.log_d, levels)
        return QF.log_levels(self.log_d, self.log_q_m, self.log_t).exp()

    def bits(self) -> Tensor:
        """Return the bit width, a differentiable scalar: the mean over channels."""
        return QF.bits_of_levels(self.levels(), self._bit_scheme).mean()

    @torch.no_grad()
    def clamp_bits_(self, low: float, high: float) -> None:
        """Move d so that the bit widths of all channels are inside [low, high]."""
        self.log_d.copy_(QF.project_log_d(self.log_d, self.log_q_m, self.log_t, (low, high),
                                          self._bit_scheme))

    def fix_bits_(self, bits: int | None = None) -> int:
        """Bind d to a whole bit width from now on: it learns through q_m and t alone.

        Args:
            bits: width; None rounds the present one.

        Returns:
            The width, inside the quantizer's limits.
        """
        low, high = self.bit_limits
        bits = min(max(round(self.bits().item()) if bits is None else bits, low), high)
        self._set_code(self._scheme, bits)
        self.clamp_bits_(bits, bits)
        return bits

    def check_range(self, low: Tensor, high: Tensor) -> None:
        """Raise what `set_range` would, without changing anything."""
        if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
            raise CalibrationError(f'{self.name}: calibration saw values that are not finite; '
                                   'check the model and the data')
        if self.requested_scheme == 'unsigned' and (low < 0).any():
            raise CalibrationError(
                f'{self.name}: the input reaches {low.min().item():.4g}, but its scheme is '
                "'unsigned'; use 'auto', 'affine' or 'signed' for this layer")

    @torch.no_grad()
    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Place the grid over [low, high] and zero, at the most bits, and turn the quantizer on.

        Args:
            low, high: ends of the range, of one element or of the shape of the scales.

        Raises:
            CalibrationError: the range is not finite, or negative for an unsigned grid.
        """
        self.check_range(low, high)
        low, high = low.clamp(max=0), high.clamp(min=0)
        scheme = self.requested_scheme
        if scheme == 'auto':
            scheme = 'affine' if (low < 0).any() else 'unsigned'
        span = {'signed': torch.maximum(-low, high), 'unsigned': high, 'affine': high - low}[scheme]
        span = span.clamp(min=_SMALLEST_RANGE)
        self.log_q_m.copy_(span.log().expand_as(self.log_q_m))
        if self.log_t is not None:
            self.log_t.zero_()
        if self.zero_ratio is not None:
            self.zero_ratio.copy_(-low / span)
        self.log_d.copy_(self.log_q_m)
        self.clamp_bits_(self.bit_limits[1], self.bit_limits[1])
        self._set_code(scheme, 0)

    @torch.no_grad()
    def restore(self, scheme: str, bits: int, state: Mapping[str, list[float] | None]) -> None:
        """Set a finished grid: `log_q_m`, `log_t` and `zero_ratio` from `state`, d from `bits`."""
        for key, values in state.items():
            if values is not None:
                parameter = getattr(self, key)
                parameter.copy_(parameter.new_tensor(values).view_as(parameter))
        self.bit_limits = (bits, bits)
        self._set_code(scheme, bits)
        self.clamp_bits_(bits, bits)

    def _set_code(self, scheme: str | None, fixed_bits: int) -> None:
        self._scheme, self._fixed_bits = scheme, fixed_bits
        self.code[0] = _UNSET if scheme is None else _SCHEMES.index(scheme)
        self.code[1] = fixed_bits

    def forward(self, x: Tensor) -> Tensor:
        """Return x on the grid.

        Raises:
            CalibrationError: the quantizer has not been calibrated.
        """
        if not self.enabled:
            return x
        if self.observer is not None:
            self.observer.update(x)
            return x
        if self._scheme is None:
            raise CalibrationError(
                f'{self.name} is not calibrated: call razor_ext.quantization.calibrate(model, '
                'batches) once the weights are loaded, or load a checkpoint that holds its scales')
        q_m, t, zero_ratio = self.q_m, self.t, self.zero_ratio
        d = self._step(q_m, t)
        if self._scheme == 'unsigned' and zero_ratio is not None:  # also for DDP
            q_m, zero_ratio = q_m + 0 * zero_ratio, None
        scale = None
        if self.lsq_grad_scale and torch.is_grad_enabled():
            self.elements = (x[0] if self.per_sample else x).numel() // self.log_d.numel()
            scale = QF.lsq_grad_scale(self.elements, q_m if t is None else q_m ** t, d)
        return QF.fake_quantize(x, d, q_m, t, self._scheme, zero_ratio, scale)

    def sync_code(self) -> None:
        """Take scheme and fixed bits from the buffer, after something wrote to it."""
        scheme, fixed_bits = self.code.tolist()
        self._set_code(None if scheme == _UNSET else _SCHEMES[scheme], fixed_bits)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.sync_code()

    def extra_repr(self) -> str:
        power = ', t' if self.log_t is not None else ''
        return f'{self.name}, {self.scheme}, bits {self.bit_limits}{power}'
