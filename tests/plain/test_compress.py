"""Compression in a loop of one's own."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from plain_loop import batches, train
from torch import Tensor, nn

import razor_ext
from razor_ext.plain import Compression
from razor_ext.pruning import NothingTrainedError, TargetMissedError

STEPS = 12
STAGES = dict(warmup=1, projection=2, pruning=6, projection_periods=2, pruning_periods=2)
QUANT = dict(weight_bits=(4, 8), activation_bits=(6, 8))
MACS = dict(kind='macs', ratio=0.5)


class SmallNet(nn.Module):
    """Convolutions with a shortcut, and a classifier; no MMEngine model."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.body(x)).mean((2, 3)))


def begin(model: nn.Module | None = None, optimizer: Any = None, **settings: Any) -> Compression:
    torch.manual_seed(0)
    model = SmallNet() if model is None else model
    if isinstance(optimizer, type):
        optimizer = optimizer(model.parameters())
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return razor_ext.compress(model, torch.randn(1, 3, 8, 8), optimizer, STEPS, **{
        'calibration': [x for x, _ in batches(2)], 'target': MACS, **settings})


@pytest.mark.smoke
def test_geta_leaves_a_folder_and_integers_that_are_the_model(tmp_path: Path) -> None:
    result = train(begin(quant=QUANT, stages=STAGES)).finish(tmp_path)
    assert result.costs['compressed']['macs'] <= 0.5 * result.costs['dense']['macs']
    assert result.costs['compressed']['bops'] < 0.1 * result.costs['dense']['bops']
    again = razor_ext.load_compressed_model(SmallNet(), tmp_path)
    x = next(batches(1, 50))[0]
    assert torch.equal(again(x), result.model(x))
    assert {row['layer'] for row in result.figures['quantization']['integer_layers']} == {
        'stem.0', 'body.0', 'head'}
    session = onnxruntime.InferenceSession(str(result.onnx_file))
    got = torch.from_numpy(session.run(None, {'input': x.numpy()})[0])
    assert (got - again(x)).norm() < 0.1 * again(x).norm()


@pytest.mark.parametrize('method', ['L1Pruning', 'GroupFisher'])
def test_other_algorithms_train_with_the_users_own_optimizer(method: str, tmp_path: Path) -> None:
    model = SmallNet()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    compression = begin(model, optimizer, method=method)
    assert compression.optimizer is optimizer
    result = train(compression).finish(tmp_path)
    assert result.costs['compressed']['macs'] <= 0.5 * result.costs['dense']['macs']
    assert result.figures['max_abs'] < 1e-5


def test_param_groups_and_a_scheduler_hold(tmp_path: Path) -> None:
    model = SmallNet()
    optimizer = torch.optim.AdamW([
        {'params': model.head.parameters(), 'lr': 0.5, 'weight_decay': 0.},
        {'params': [*model.stem.parameters(), *model.body.parameters()]}], lr=0.01)
    compression = begin(model, optimizer, quant=QUANT, stages=STAGES, lr_quant=0.25)
    groups = compression.optimizer.param_groups
    assert [group['lr'] for group in groups] == [0.5, 0.01, 0.25]
    assert [group['weight_decay'] for group in groups] == [0., 0.01, 0.]
    torch.optim.lr_scheduler.ConstantLR(compression.optimizer, 0.5)
    assert [group['lr'] for group in groups] == [0.25, 0.005, 0.125]


@pytest.mark.parametrize('settings', [
    dict(quant=QUANT, stages=STAGES),
    dict(method='TaylorPruning', schedule=dict(begin=.2, end=.8, interval=2))])
def test_a_resumed_run_ends_with_the_same_bits(settings: dict) -> None:
    whole = train(begin(**settings))
    first = train(begin(**settings), 7)
    state = first.state_dict()
    second = begin(**settings)
    second.load_state_dict(state)
    train(second, STEPS - 7, 7)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_a_run_that_is_not_over_is_refused_and_writes_nothing(tmp_path: Path) -> None:
    compression = begin(quant=QUANT, stages=STAGES)
    with pytest.raises(NothingTrainedError, match='no iteration'):
        compression.finish(tmp_path / 'out')
    train(compression, 5)
    with pytest.raises(TargetMissedError):
        compression.finish(tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    assert train(compression, STEPS - 5, 5).finish().onnx_file is None


def test_what_cannot_work_is_refused() -> None:
    model = SmallNet()
    used = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(next(batches(1))[0]).sum().backward()
    used.step()
    scheduled = torch.optim.SGD(SmallNet().parameters(), lr=0.1)
    torch.optim.lr_scheduler.StepLR(scheduled, 1)
    for expected, arguments in (
            ('has taken steps', dict(model=model, optimizer=used)),
            ('scheduler', dict(optimizer=scheduled)),
            ('none of the SmallNet', dict(optimizer=torch.optim.SGD(SmallNet().parameters(), 1.))),
            ('no calibration', dict(quant=QUANT, calibration=())),
            ('known: .*GETA', dict(method='Magic')),
            ('checkpoint', dict(checkpoint='dense.pth')),
            ('Adagrad', dict(optimizer=torch.optim.Adagrad, quant=QUANT)),
            ('lr_quant', dict(method='L1Pruning', lr_quant=1e-3))):
        with pytest.raises(ValueError, match=expected):
            begin(**arguments)


def test_a_model_of_two_inputs_is_written_without_an_onnx_file(tmp_path: Path) -> None:
    class Two(SmallNet):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer('unit', torch.ones(1))  # another structure than SmallNet's

        def forward(self, x: Tensor, scale: Tensor) -> Tensor:
            return super().forward(x) * scale * self.unit

    torch.manual_seed(0)
    model = Two()
    compression = razor_ext.compress(
        model, dict(x=torch.randn(1, 3, 8, 8), scale=torch.ones(1, 1)),
        torch.optim.SGD(model.parameters(), lr=.01), STEPS, method='L1Pruning', target=MACS)
    for x, y in batches(STEPS):
        nn.functional.cross_entropy(compression.model(x, torch.ones(4, 1)), y).backward()
        compression.optimizer.step()
        compression.optimizer.zero_grad()
    with pytest.raises(ValueError, match='onnx=False'):
        compression.finish(tmp_path)
    compression.finish(tmp_path, onnx=False)
    assert razor_ext.load_compressed_model(Two(), tmp_path).stem[0].out_channels < 16
