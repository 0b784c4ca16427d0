"""The quantizer's forward, gradients and conversions against the closed formulas."""
from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from razor_ext.quantization import functional as QF

SCHEMES = ('signed', 'unsigned', 'affine')


def reference(x, d, q_m, t):
    """The formulas element by element: x_Q and the factors of its gradients."""
    sign, size = torch.sign(x), x.abs()
    inside = size <= q_m
    limited = size.clamp(max=q_m)
    c = limited ** t
    u = c / d
    log = torch.where(size > 0, torch.log(limited), 0.)
    by_d = sign * (torch.round(u) - u)
    by_q_m = torch.where(inside, 0., sign * t * q_m ** (t - 1))
    by_t = sign * c * log
    return sign * d * torch.round(u), by_d, by_q_m, by_t, inside.double()


def scales(*values):
    return [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in values]


@pytest.mark.smoke
@pytest.mark.parametrize('t', [None, 1.0, 0.7, 1.6])
def test_signed_forward_and_gradients_follow_the_formulas(t):
    x = torch.randn(5, 7, 3, dtype=torch.float64).mul_(2).requires_grad_()
    x.data[0, 0, 0] = 0
    g = torch.randn_like(x)
    d, q_m, exponent = scales(0.13, 1.7, t or 1.0)
    y = QF.fake_quantize(x, d, q_m, exponent if t else None)
    y.backward(g)
    value, by_d, by_q_m, by_t, by_x = reference(x.detach(), 0.13, 1.7, t or 1.0)
    torch.testing.assert_close(y.detach(), value, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, g * by_x, rtol=0, atol=1e-12)
    for scale, factor in ((d, by_d), (q_m, by_q_m)):
        torch.testing.assert_close(scale.grad, (g * factor).sum().view(1), rtol=1e-10, atol=1e-10)
    if t:
        torch.testing.assert_close(exponent.grad, (g * by_t).sum().view(1), rtol=1e-10, atol=1e-10)


def test_gradient_of_the_exponent_is_that_of_the_clipped_power():
    """Without rounding the surrogate is smooth: finite differences of sum g * c(x)."""
    x, g = torch.randn(2, 64, dtype=torch.float64)
    d, q_m, t = scales(1e-9, 0.8, 1.3)
    QF.fake_quantize(x, d, q_m, t).backward(g)
    for scale, values in ((q_m, lambda v: (v, 1.3)), (t, lambda v: (0.8, v))):
        step = 1e-6

        def loss(value, values=values):
            q, e = values(value)
            return (g * QF.power_clip(x, g.new_tensor(q), g.new_tensor(e))).sum()

        centre = scale.item()
        numeric = (loss(centre + step) - loss(centre - step)) / (2 * step)
        assert scale.grad.item() == pytest.approx(numeric.item(), rel=1e-4)


def test_unsigned_and_affine_gradients():
    x = torch.randn(400, dtype=torch.float64, requires_grad=True)
    g = torch.randn_like(x)
    d, q_m = scales(0.1, 1.5)
    QF.fake_quantize(x, d, q_m, scheme='unsigned').backward(g)
    inside = (x >= 0) & (x <= 1.5)
    torch.testing.assert_close(x.grad, g * inside)
    torch.testing.assert_close(q_m.grad, g[x > 1.5].sum().view(1))

    x.grad = None
    d, q_m, ratio = scales(0.1, 1.5, 0.34)
    assert QF.zero_point(ratio, d, q_m).item() == 5
    QF.fake_quantize(x, d, q_m, scheme='affine', zero_ratio=ratio).backward(g)
    below, above = x < -0.5, x > 1.0
    torch.testing.assert_close(x.grad, g * ~(below | above))
    torch.testing.assert_close(q_m.grad, (0.66 * g[above].sum() - 0.34 * g[below].sum()).view(1))
    # low = -ratio * q_m and high = low + q_m.
    torch.testing.assert_close(ratio.grad, -1.5 * (g[below].sum() + g[above].sum()).view(1))
    clipped = x.detach().clamp(-0.5, 1.0)
    residual = torch.round(clipped / 0.1) - clipped / 0.1
    torch.testing.assert_close(d.grad, (g * residual).sum().view(1))


def test_per_channel_equals_channel_by_channel():
    w = torch.randn(6, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    g = torch.randn_like(w)
    d = torch.rand(6, 1, 1, 1, dtype=torch.float64).add_(0.05).requires_grad_()
    q_m = torch.rand(6, 1, 1, 1, dtype=torch.float64).add_(0.5).requires_grad_()
    for t in (None, torch.tensor([1.2], dtype=torch.float64, requires_grad=True)):
        for leaf in (w, d, q_m):
            leaf.grad = None
        QF.fake_quantize(w, d, q_m, t).backward(g)
        total_t = 0
        for c in range(6):
            one = [v.detach()[c].clone().requires_grad_() for v in (w, d, q_m)]
            t_c = None if t is None else t.detach().clone().requires_grad_()
            QF.fake_quantize(*one, t_c).backward(g[c])
            for leaf, part in zip((w, d, q_m), one):
                torch.testing.assert_close(leaf.grad[c], part.grad)
            total_t = total_t + (0 if t is None else t_c.grad)
        if t is not None:
            torch.testing.assert_close(t.grad, total_t)


def test_grad_scale_touches_only_the_scales():
    x = torch.randn(50, requires_grad=True)
    grads = []
    for factor in (None, torch.tensor(0.25)):
        back = 1 if factor is None else 4
        d, q_m = (torch.tensor([v], requires_grad=True) for v in (0.1, 1.0))
        x.grad = None
        QF.fake_quantize(x, d, q_m, grad_scale=factor).sum().backward()
        grads.append((x.grad, d.grad * back, q_m.grad * back))
    for a, b in zip(*grads):
        torch.testing.assert_close(a, b)
    assert QF.lsq_grad_scale(100, torch.tensor(2.), torch.tensor(.5)).item() == pytest.approx(0.05)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    x = torch.randn(4, 100).to(dtype).requires_grad_()
    d, q_m = (torch.tensor([v], requires_grad=True) for v in (1 / 512, 2.0))
    y = QF.fake_quantize(x, d, q_m)
    y.backward(torch.ones_like(y))
    got = d.grad.clone(), q_m.grad.clone()
    d.grad = q_m.grad = None
    wide = QF.fake_quantize(x.detach().float(), d, q_m)
    wide.sum().backward()
    assert y.dtype == dtype and x.grad.dtype == dtype
    assert torch.equal(y, wide.to(dtype))
    torch.testing.assert_close(got, (d.grad, q_m.grad))


def test_memory_formats_agree():
    x = torch.randn(2, 8, 5, 6)
    results = []
    for like in (x, x.to(memory_format=torch.channels_last)):
        leaf = like.detach().clone(memory_format=torch.preserve_format).requires_grad_()
        d, q_m = (torch.tensor([v], requires_grad=True) for v in (0.05, 1.0))
        y = QF.fake_quantize(leaf, d, q_m)
        y.backward(torch.ones(2, 8, 5, 6).cos())
        results.append((y, leaf.grad, d.grad, q_m.grad))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('scheme', SCHEMES)
def test_training_inference_and_tracing_give_the_same_values(scheme):
    x = torch.randn(1000)
    zero = torch.tensor([0.3]) if scheme == 'affine' else None
    d, q_m = torch.tensor([0.11], requires_grad=True), torch.tensor([1.1], requires_grad=True)
    trained = QF.fake_quantize(x, d, q_m, scheme=scheme, zero_ratio=zero)
    with torch.no_grad():
        assert torch.equal(trained, QF.fake_quantize(x, d, q_m, scheme=scheme, zero_ratio=zero))
    d, q_m = d.detach(), q_m.detach()
    traced = torch.jit.trace(
        lambda v: QF.fake_quantize(v, d, q_m, scheme=scheme, zero_ratio=zero), x)
    assert torch.equal(trained, traced(x))


def test_an_exponent_on_an_affine_grid_is_refused():
    one = torch.ones(1)
    with pytest.raises(ValueError, match='affine'):
        QF.fake_quantize(one, one, one, one, scheme='affine', zero_ratio=one)


# Properties -------------------------------------------------------------------------------------

positive = st.floats(1e-3, 1e3)


@settings(max_examples=60, deadline=None)
@given(scheme=st.sampled_from(SCHEMES), bits=st.integers(2, 16), q_m=positive,
       t=st.one_of(st.none(), st.floats(0.3, 3.0)), ratio=st.floats(0, 1),
       seed=st.integers(0, 9999))
def test_values_lie_on_the_grid_and_keep_their_order(scheme, bits, q_m, t, ratio, seed):
    t = None if scheme == 'affine' else t
    x = torch.randn(257, generator=torch.Generator().manual_seed(seed)).mul_(q_m).sort().values
    log_q_m = torch.tensor([q_m]).log()
    log_t = None if t is None else torch.tensor([t]).log()
    exponent = None if t is None else log_t.exp()
    span = QF.log_levels(torch.zeros(1), log_q_m, log_t)
    log_d = QF.project_log_d(span, log_q_m, log_t, (bits, bits), scheme)
    d, q_m = log_d.exp(), log_q_m.exp()
    levels = QF.levels_of_bits(bits, scheme)
    ratio = torch.tensor([ratio]) if scheme == 'affine' else None
    zero = 0 if ratio is None else int(QF.zero_point(ratio, d, q_m))
    y = QF.fake_quantize(x, d, q_m, exponent, scheme, ratio)

    k = QF.to_integers(y, d)
    assert torch.equal(k * d, y)
    low, high = {'signed': (-levels, levels), 'unsigned': (0, levels),
                 'affine': (-zero, levels - zero)}[scheme]
    assert low <= k.min() and k.max() <= high
    assert (y.diff() >= 0).all()
    # Zero is on the grid, and what lies on the grid stays.
    assert QF.fake_quantize(torch.zeros(1), d, q_m, exponent, scheme, ratio).item() == 0
    if t is None:
        assert torch.equal(QF.fake_quantize(y, d, q_m, None, scheme, ratio), y)


@settings(max_examples=80, deadline=None)
@given(scheme=st.sampled_from(SCHEMES), bits=st.floats(2, 16), q_m=positive, t=st.floats(0.3, 3))
def test_bits_and_steps_are_inverse(scheme, bits, q_m, t):
    q_m = torch.tensor([q_m], dtype=torch.float64)
    d = QF.step_size(bits, q_m, t, scheme)
    assert QF.bit_width(d, q_m, t, scheme).item() == pytest.approx(bits, abs=1e-9)


@settings(max_examples=80, deadline=None)
@given(scheme=st.sampled_from(SCHEMES), log_d=st.floats(-30, 30), log_q_m=st.floats(-10, 10),
       log_t=st.one_of(st.none(), st.floats(-1, 1)), low=st.integers(2, 8), span=st.integers(0, 8))
def test_projection_puts_every_bit_width_in_range(scheme, log_d, log_q_m, log_t, low, span):
    log_d, log_q_m = torch.tensor([log_d]), torch.tensor([log_q_m])
    log_t = None if log_t is None else torch.tensor([log_t])
    projected = QF.project_log_d(log_d, log_q_m, log_t, (low, low + span), scheme)
    bits = QF.bits_of_levels(QF.log_levels(projected, log_q_m, log_t).exp(), scheme).item()
    assert low - 1e-4 <= bits <= low + span + 1e-4
    before = QF.bits_of_levels(QF.log_levels(log_d, log_q_m, log_t).exp(), scheme).item()
    if low <= before <= low + span:
        assert torch.equal(projected, log_d) or abs(bits - before) < 1e-4


def test_bits_are_differentiable():
    log_d = torch.tensor([-3.], dtype=torch.float64, requires_grad=True)
    log_q_m = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    log_t = torch.tensor([0.1], dtype=torch.float64, requires_grad=True)

    def bits(*logs):
        return QF.bits_of_levels(QF.log_levels(*logs).exp(), 'signed')

    assert torch.autograd.gradcheck(bits, (log_d, log_q_m, log_t))
