"""Ranges from batches: methods, schemes, errors, and the hook."""
from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from razor_ext.quantization import (
    CalibrationError,
    QuantConfig,
    QuantConfigError,
    calibrate,
    quantize_model,
    quantizer_handles,
)

from .quant_cases import SmallNet


def single(scheme='auto', bits=(8, 8), **config):
    model = nn.Sequential(nn.Linear(4, 4))
    quantize_model(model, QuantConfig(activation_scheme=scheme, activation_bits=bits, **config))
    return model, model[0].input_quantizer


@pytest.mark.parametrize('granularity', ['tensor', 'channel'])
def test_a_weight_of_zeros_can_still_be_trained(granularity):
    model, _ = single(weight_granularity=granularity)
    nn.init.zeros_(model[0].weight)
    calibrate(model, [torch.randn(10, 4)])
    assert not model[0].quantize_weight().any()
    nn.init.constant_(model[0].weight, 0.1)
    torch.testing.assert_close(model[0].quantize_weight(), model[0].weight, atol=0.01, rtol=0)


@pytest.mark.parametrize(('scheme', 'low', 'found', 'q_m', 'zero'), [
    ('auto', 0., 'unsigned', 4., 0), ('auto', -1., 'affine', 5., 51),
    ('signed', -1., 'signed', 4., 0), ('affine', 0., 'affine', 4., 0)])
def test_scheme_and_range_follow_the_data(scheme, low, found, q_m, zero):
    model, quantizer = single(scheme)
    batches = [torch.linspace(low, 2, 40).view(10, 4), torch.linspace(0.5, 4, 40).view(10, 4)]
    calibrate(model, batches, method='minmax')
    assert quantizer.scheme == found
    assert quantizer.q_m.item() == pytest.approx(q_m)
    assert int(quantizer.zero_point) == zero
    assert quantizer.bits().item() == pytest.approx(8)


@pytest.mark.parametrize('method', ['minmax', 'percentile', 'mse'])
def test_an_outlier_stretches_only_the_extremes(method):
    torch.manual_seed(0)
    x = torch.randn(1000, 4)
    x[0, 0] = 60
    model, quantizer = single('signed', bits=(4, 4))
    calibrate(model, [x], method=method, percentile=99.5)
    error = (quantizer(x) - x).square().mean().item()
    if method == 'minmax':
        assert quantizer.q_m.item() == pytest.approx(60) and error > 0.9
    else:
        assert quantizer.q_m.item() < 40 and error < 2


def test_samples_do_not_lie_in_one_column():
    # Silhouettes of 64 x 44: a step of 176 would see the faint first column alone.
    model = nn.Sequential(nn.Conv2d(1, 4, 3))
    quantize_model(model, QuantConfig(activation_bits=(8, 8)))
    images = torch.rand(256, 1, 64, 44)
    images[..., :8] *= 0.1
    calibrate(model, [images])
    assert model[0].input_quantizer.q_m.item() == pytest.approx(1, abs=0.05)


def test_weight_ranges_per_channel_and_their_mse_choice():
    torch.manual_seed(0)
    errors = {}
    for method in ('minmax', 'mse'):
        torch.manual_seed(1)
        model, _ = single(weight_bits=(3, 3), weight_granularity='channel', weight_power=False)
        weight = model[0].weight.data.copy_(torch.randn(4, 4).pow(3))
        calibrate(model, [torch.randn(5, 4)], weight_method=method)
        if method == 'minmax':
            torch.testing.assert_close(model[0].weight_quantizer.q_m.view(-1), weight.abs().amax(1))
        errors[method] = (model[0].weight_quantizer(weight) - weight).square().mean().item()
    assert errors['mse'] <= errors['minmax']


def test_the_model_keeps_its_modes_and_statistics():
    model = SmallNet()
    model.up.eval()
    mean = model.bn.running_mean.clone()
    quantize_model(model, QuantConfig())
    calibrate(model, [torch.randn(2, 3, 8, 8)])
    assert torch.equal(model.bn.running_mean, mean)
    assert model.training and model.bn.training and not model.up.training


def test_failures_are_named_and_set_nothing():
    model = nn.Sequential(nn.Linear(4, 4))
    model.spare = nn.Linear(4, 4)
    quantize_model(model, QuantConfig())
    x = torch.randn(3, 4)

    def first(m, b):
        m[0](b)

    with pytest.raises(CalibrationError, match='spare'):
        calibrate(model, [x], run=first)
    with pytest.raises(CalibrationError, match='saw no data'):
        calibrate(model)
    with pytest.raises(QuantConfigError, match="'median'"):
        calibrate(model, [x], method='median')
    with pytest.raises(QuantConfigError, match='percentile=20'):
        calibrate(model, [x], percentile=20)
    with pytest.raises(CalibrationError, match='no quantizers'):
        calibrate(nn.Linear(2, 2), [x])
    assert not any(h.quantizer.calibrated for h in quantizer_handles(model))

    model, quantizer = single()
    with pytest.raises(CalibrationError, match=r'0\.input: .*not finite'):
        calibrate(model, [x.log()])
    assert not quantizer.calibrated and not model[0].weight_quantizer.calibrated
    model, quantizer = single('unsigned')
    with pytest.raises(CalibrationError, match="'unsigned'"):
        calibrate(model, [-x.abs()])


class Regressor(BaseModel):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)
        quantize_model(self, QuantConfig(activation_bits=(8, 8)))

    def forward(self, inputs, labels, mode='tensor'):
        y = self.net(torch.stack(list(inputs)))
        return {'loss': (y - torch.stack(list(labels))).square().mean()} if mode == 'loss' else y


def run(tmp_path, **options):
    data = [(torch.randn(4), torch.randn(2)) for _ in range(8)]
    runner = Runner(
        Regressor(), str(tmp_path), experiment_name=f'calibration{len(options)}',
        train_dataloader={'dataset': data, 'batch_size': 4, 'num_workers': 0,
                          'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                          'collate_fn': {'type': 'default_collate'}},
        train_cfg={'by_epoch': True, 'max_epochs': 2 if options else 1},
        optim_wrapper={'optimizer': {'type': 'SGD', 'lr': 0.01}}, log_level='ERROR',
        custom_hooks=[{'type': 'CalibrationHook', 'num_batches': 2}], **options)
    runner.train()
    return runner


def test_hook_calibrates_before_the_first_step_and_not_after_resuming(tmp_path, monkeypatch):
    runner = run(tmp_path)
    assert all(h.quantizer.calibrated for h in quantizer_handles(runner.model))
    monkeypatch.setattr('razor_ext.quantization.hooks.calibrate', lambda *a, **k: 1 / 0)
    resumed = run(tmp_path, resume=True)
    assert resumed.epoch == 2
    with pytest.raises(QuantConfigError, match='num_batches=0'):
        from razor_ext.quantization import CalibrationHook
        CalibrationHook(num_batches=0)


class Fading(nn.Module):
    """A chain of batch norms whose signal fades away by their initial statistics."""

    def __init__(self, depth=4):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(depth))
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=0.01)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = norm(conv(x)).relu()
        return x


def share_inside(model, batch):
    """Least share of an input that its grid holds, in training."""
    shares = []

    def watch(quantizer, inputs):
        x, low = inputs[0], -quantizer.zero_point * quantizer.d
        shares.append(((x >= low) & (x <= low + quantizer.q_m)).float().mean().item())

    handles = [h.quantizer.register_forward_pre_hook(watch)
               for h in quantizer_handles(model) if h.weight is None]
    model.train()(batch)
    for handle in handles:
        handle.remove()
    return min(shares)


def test_norms_that_saw_no_data_take_the_statistics_of_the_batch():
    torch.manual_seed(0)
    model = Fading()
    quantize_model(model, QuantConfig(activation_bits=(8, 8)))
    before = {key: value.clone() for key, value in model.state_dict().items() if 'norms' in key}
    calibrate(model, [torch.randn(16, 8, 6, 6) for _ in range(4)], method='percentile')
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert model.training and not model.norms[0]._forward_pre_hooks
    assert share_inside(model, torch.randn(16, 8, 6, 6)) > 0.99


def test_norms_that_saw_data_keep_their_statistics():
    torch.manual_seed(0)
    model = Fading(depth=1).eval()
    model.train()(torch.randn(16, 8, 6, 6))
    model.eval()
    x = 5 * torch.randn(16, 8, 6, 6)
    head = nn.Sequential(model, nn.Conv2d(8, 2, 1))
    highest = model(x).max().item()
    quantize_model(head, QuantConfig(activation_bits=(8, 8)))
    calibrate(head, [x], method='minmax')
    assert head[1].input_quantizer.q_m.item() == pytest.approx(highest)


def test_one_value_per_channel_has_no_statistics():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    quantize_model(model, QuantConfig())
    calibrate(model, [torch.randn(1, 4)])
    assert not model[1].num_batches_tracked
