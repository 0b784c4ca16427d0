"""The learnable quantizer as pure functions (GETA, arXiv:2502.16638).

A tensor x is clipped, raised to the power t and rounded to a grid of step d:

    c(x) = sgn(x) * min(|x|, q_m)^t,    x_Q = d * round(c(x) / d)

(halves round to even, as in ONNX; there is no inverse power, so x_Q lies on the grid for every t).
With L = q_m^t / d steps between the ends of one side (signed) or of the whole range:

    scheme    integers at b bits               bits of (d, q_m, t)   range of x
    signed    [-(2^(b-1) - 1), 2^(b-1) - 1]    log2(L + 1) + 1       [-q_m, q_m]
    unsigned  [0, 2^b - 1]                     log2(L + 1)           [0, q_m]
    affine    [-z, 2^b - 1 - z]                log2(L + 1)           [-z * d, q_m - z * d]

The affine integers are stored shifted by the zero point z = round(zero_ratio * L), which makes them
[0, 2^b - 1]. z is an integer, so zero is on every grid and zero padding stays exact. In every
scheme x_Q equals the integer times d, bit for bit.

Training finds d, q_m and t by gradients that pass straight through the rounding, for the upstream
gradient g and u = c(x) / d:

    d:    sum g * (round(u) - u)
    q_m:  sum over clipped x of g * sgn(x) * t * q_m^(t-1)
    t:    sum g * c(x) * ln(min(|x|, q_m)),  0 at x = 0
    x:    g inside the range, 0 where x is clipped
"""
from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Schemes and the bits their sign takes.
SIGN_BITS = {'signed': 1, 'unsigned': 0, 'affine': 0}


def levels_of_bits(bits: Tensor | float, scheme: str) -> Tensor | float:
    """Return L, the steps of one side (signed) or of the range: 2^(b-1) - 1 or 2^b - 1."""
    return 2 ** (bits - SIGN_BITS[scheme]) - 1


def bits_of_levels(levels: Tensor, scheme: str) -> Tensor:
    """Return the bit width of a grid with L steps; differentiable."""
    return torch.log2(levels + 1) + SIGN_BITS[scheme]


def log_levels(log_d: Tensor, log_q_m: Tensor, log_t: Tensor | None) -> Tensor:
    """Return log L = t * log q_m - log d, of logarithmic scales; t is 1 where `log_t` is None."""
    return (log_q_m if log_t is None else log_q_m * log_t.exp()) - log_d


def bit_width(d: Tensor, q_m: Tensor, t: Tensor | float, scheme: str = 'signed') -> Tensor:
    """Return the bits of step `d` under range `q_m` and exponent `t`; differentiable."""
    return bits_of_levels(q_m ** t / d, scheme)


def step_size(bits: Tensor | float, q_m: Tensor, t: Tensor | float,
              scheme: str = 'signed') -> Tensor:
    """Return d(b), the step at which a range `q_m` with exponent `t` takes `bits`."""
    return q_m ** t / levels_of_bits(bits, scheme)


def project_log_d(log_d: Tensor, log_q_m: Tensor, log_t: Tensor | None,
                  bits: tuple[float, float], scheme: str = 'signed') -> Tensor:
    """Return the nearest log d whose bit width is inside [b_l, b_u].

    Args:
        log_d, log_q_m, log_t: logarithms of the scales; `log_t` is None where t is 1.
        bits: (b_l, b_u).
        scheme: grid.

    Returns:
        Tensor like `log_d`; in-graph, without reading from the device.
    """
    span = log_levels(torch.zeros_like(log_d), log_q_m, log_t)
    low, high = (math.log(levels_of_bits(b, scheme)) for b in bits)
    return torch.minimum(torch.maximum(log_d, span - high), span - low)


def zero_point(zero_ratio: Tensor, d: Tensor, q_m: Tensor) -> Tensor:
    """Return the affine zero point z = round(zero_ratio * L), an integer in [0, L].

    Args:
        zero_ratio: share of the range that lies below zero; limited to [0, 1].
        d, q_m: step and width of the range.
    """
    return (zero_ratio.detach().clamp(0, 1) * (q_m / d).detach().round()).round()


def _wide(x: Tensor) -> Tensor:
    """Half precision cannot hold grids of more than 8 to 11 bits: compute in float32."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def clip(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return x limited to [low, high], tensors that broadcast with it."""
    # Three times as fast as torch.clamp() with tensor bounds on a CPU.
    raised = torch.maximum(x, low)
    if torch.is_grad_enabled() or torch.jit.is_tracing():
        return torch.minimum(raised, high)
    return torch.minimum(raised, high, out=raised)


def power_clip(x: Tensor, q_m: Tensor, t: Tensor, signed: bool = True) -> Tensor:
    """Return c(x) = sgn(x) * min(|x|, q_m)^t; negative x give 0 where the grid is unsigned."""
    magnitude = torch.minimum(x.abs() if signed else x.clamp(min=0), q_m) ** t
    return magnitude * x.sign() if signed else magnitude


def _round_to(clipped: Tensor, d: Tensor, dtype: torch.dtype) -> Tensor:
    if torch.jit.is_tracing():
        return (torch.round(clipped / d) * d).to(dtype)
    return clipped.div_(d).round_().mul_(d).to(dtype)


def _dot(a: Tensor, b: Tensor, like: Tensor) -> Tensor:
    """Sum of a * b over the dimensions in which the scale `like` has one element."""
    if like.numel() == 1 and a.is_contiguous() and b.is_contiguous():
        return torch.dot(a.view(-1), b.view(-1)).view(like.shape)
    return (a * b).sum_to_size(like.shape)


def _residual(quantized: Tensor, clipped: Tensor, d: Tensor) -> Tensor:
    if quantized.dtype != clipped.dtype:  # half precision has rounded the grid itself
        quantized = _round_to(clipped.clone(), d, clipped.dtype)
    return quantized - clipped


def _scaled(scale: Tensor | None, *grads: Tensor) -> tuple[Tensor, ...]:
    return grads if scale is None else tuple(g * scale for g in grads)


class _ClipRound(torch.autograd.Function):
    """d * round(clip(x, low, high) / d); `grad_scale` multiplies the gradients of the scales."""

    @staticmethod
    def forward(ctx, x, d, low, high, grad_scale):
        quantized = _round_to(clip(_wide(x), low, high), d, x.dtype)
        # x_Q is kept by the consumer in any case, so this adds one tensor: x.
        ctx.save_for_backward(x, quantized, d, low, high, grad_scale)
        return quantized

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, quantized, d, low, high, grad_scale = ctx.saved_tensors
        g, x = _wide(grad), _wide(x)
        clipped = clip(x, low, high)
        grad_d = _dot(g, _residual(quantized, clipped, d), d) / d
        # -1 below the range, 1 above, 0 inside: on a CPU arithmetic is much faster than masks.
        side = torch.sub(x, clipped, out=clipped).sign_()
        outside = g * side
        grad_x = torch.addcmul(g, outside, side, value=-1).to(grad.dtype)
        difference, total = outside.sum_to_size(high.shape), _dot(outside, side, high)
        scales = _scaled(grad_scale, grad_d, (total - difference) / 2, (total + difference) / 2)
        return (grad_x, *scales, None)


class _PowerRound(torch.autograd.Function):
    """d * round(c(x) / d) with a learnable exponent."""

    @staticmethod
    def forward(ctx, x, d, q_m, t, signed, grad_scale):
        # Powers are dear: c(x) is kept for the way back.
        clipped = power_clip(_wide(x), q_m, t, signed)
        quantized = _round_to(clipped.clone(), d, x.dtype)
        ctx.save_for_backward(x, clipped, quantized, d, q_m, t, grad_scale)
        ctx.signed = signed
        return quantized

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, clipped, quantized, d, q_m, t, grad_scale = ctx.saved_tensors
        g, x = _wide(grad), _wide(x)
        low = -q_m if ctx.signed else torch.zeros_like(q_m)
        limited = clip(x, low, q_m)
        grad_d = _dot(g, _residual(quantized, clipped, d), d) / d
        side = torch.sub(x, limited).sign_()
        # Below an unsigned range c is 0 whatever q_m is.
        at_q_m = side if ctx.signed else side.clamp(min=0)
        grad_q_m = _dot(g, at_q_m, q_m) * t * q_m ** (t - 1)
        # Any finite logarithm will do at x = 0, where c is 0.
        log = limited.abs_().clamp_(min=torch.finfo(limited.dtype).tiny).log_()
        grad_t = _dot(g, log.mul_(clipped), d)  # shared: channels add up, each by its scale
        grad_x = torch.addcmul(g, g * side, side, value=-1).to(grad.dtype)
        scales = _scaled(grad_scale, grad_d, grad_q_m, grad_t)
        return grad_x, *scales[:2], scales[2].sum_to_size(t.shape), None, None


def _trains(*tensors: Tensor | None) -> bool:
    return (torch.is_grad_enabled() and not torch.jit.is_tracing()
            and any(tensor is not None and tensor.requires_grad for tensor in tensors))


def fake_quantize(x: Tensor, d: Tensor, q_m: Tensor, t: Tensor | None = None,
                  scheme: str = 'signed', zero_ratio: Tensor | None = None,
                  grad_scale: Tensor | None = None) -> Tensor:
    """Return x_Q in floating point, with the gradients of the module docstring.

    Args:
        x: any shape and floating-point type; half precision is computed in float32.
        d, q_m: positive step and clipping range (affine: width of the range), broadcast with x.
        t: positive exponent of one element; None is 1 and takes a cheaper way.
        scheme: 'signed', 'unsigned' or 'affine'.
        zero_ratio: share of an affine range that lies below zero; it learns as the low end
            -zero_ratio * q_m would, and acts through `zero_point`.
        grad_scale: factor of the gradients of d, q_m, t and zero_ratio, see `lsq_grad_scale`.

    Returns:
        Tensor of the shape and type of x.

    Raises:
        ValueError: an exponent with the affine scheme, whose zero would leave the grid.
    """
    if t is not None:
        if scheme == 'affine':
            raise ValueError("scheme 'affine' has no exponent; pass t=None or another scheme")
        signed = scheme == 'signed'
        if _trains(x, d, q_m, t):
            return _PowerRound.apply(x, d, q_m, t, signed, grad_scale)
        return _round_to(power_clip(_wide(x), q_m, t, signed), d, x.dtype)
    if scheme == 'affine':
        if zero_ratio is None:
            raise ValueError("scheme 'affine' needs zero_ratio")
        low = -zero_point(zero_ratio, d, q_m) * d.detach()
        if _trains(q_m, zero_ratio):
            free = -zero_ratio * q_m
            low = free + (low - free).detach()
        high = q_m + low
    else:
        low, high = -q_m if scheme == 'signed' else torch.zeros_like(q_m), q_m
    if _trains(x, d, low, high):
        return _ClipRound.apply(x, d, low, high, grad_scale)
    return _round_to(clip(_wide(x), low, high), d, x.dtype)


@torch.no_grad()
def lsq_grad_scale(elements: int, top: Tensor, d: Tensor) -> Tensor:
    """Return 1 / sqrt(elements * L), LSQ's gradient scale for step sizes (arXiv:1902.08153).

    Args:
        elements: values that share one step (activations: of one sample).
        top: end of the grid, q_m^t.
        d: step.
    """
    return (d / (top * elements)).sqrt()


def to_integers(x_q: Tensor, d: Tensor) -> Tensor:
    """Return the integers k (int32) with k * d == x_q, for x_q on the grid of step d."""
    return torch.round(x_q / d).to(torch.int32)
