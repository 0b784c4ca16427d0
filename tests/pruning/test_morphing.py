"""Activations that change into cheaper ones while a run trains."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrazor.registry import MODELS
from plain_loop import batches, train
from torch import Tensor, nn

import razor_ext
from razor_ext.plain import Compression
from razor_ext.pruning import TargetMissedError
from razor_ext.pruning.morphing import MorphedActivation, Morphing
from razor_ext.structure import StructureError

STEPS = 20


class SmoothNet(nn.Module):
    """Two SiLUs, of which one is used twice under two names, and a GELU."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.SiLU(inplace=True)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), self.act)
        self.body = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU())
        self.head = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(self.act(x + self.body(x)).mean((2, 3)))


def begin(**settings: Any) -> Compression:
    torch.manual_seed(0)
    model = SmoothNet()
    return razor_ext.compress(
        model, torch.randn(1, 3, 8, 8), torch.optim.SGD(model.parameters(), lr=0.05), STEPS, **{
            'calibration': [x for x, _ in batches(2)], 'target': dict(kind='macs', ratio=0.6),
            'activation': dict(to='ReLU', begin=0.1, end=0.5), **settings})


GETA = dict(quant=dict(weight_bits=(6, 8), activation_bits=(8, 8)), stages=dict(
    warmup=2, projection=4, pruning=8, projection_periods=2, pruning_periods=2))
L1 = dict(method='L1Pruning', schedule=dict(begin=.2, end=.6, interval=2))
METHODS = [pytest.param(GETA, id='geta'), pytest.param(L1, id='l1')]


@settings(max_examples=30, deadline=None)
@given(mix=st.floats(0, 1), seed=st.integers(0, 99))
def test_a_mix_lies_between_both(mix: float, seed: int) -> None:
    x = torch.randn(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    module = MorphedActivation(nn.SiLU(), 'ReLU').double()
    module.set_mix(mix)
    wanted = (1 - mix) * nn.functional.silu(x) + mix * x.clamp(min=0)
    torch.testing.assert_close(module(x), wanted, rtol=0, atol=1e-6)


def test_it_changes_evenly_and_is_whole_before_the_run_ends() -> None:
    morphing = Morphing(begin=0.1, end=0.5)
    mixes = [morphing.mix_at(step, 100) for step in range(100)]
    assert mixes[:11] == [0.0] * 11
    assert mixes[30] == pytest.approx(0.5)
    assert mixes[50:] == [1.0] * 50
    assert mixes == sorted(mixes)


@pytest.mark.smoke
@pytest.mark.parametrize('settings', METHODS)
def test_the_result_has_the_new_activations_wherever_it_goes(settings: dict, tmp_path: Path
                                                             ) -> None:
    result = train(begin(**settings)).finish(tmp_path)
    kinds = {type(module).__name__ for module in result.model.modules()}
    assert 'ReLU' in kinds
    assert not kinds & {'SiLU', 'GELU', 'MorphedActivation'}
    assert result.model.act is result.model.stem[2]
    again = razor_ext.load_compressed_model(SmoothNet(), tmp_path)
    x = next(batches(1, 50))[0]
    assert torch.equal(again(x), result.model(x))
    operators = {node.op_type for node in onnx.load(str(result.onnx_file)).graph.node}
    assert not operators & {'Sigmoid', 'Erf', 'Gelu'}


def test_training_begins_with_the_activations_of_the_dense_model() -> None:
    compression = begin(**L1)
    torch.manual_seed(0)
    dense = SmoothNet()
    x = next(batches(1))[0]
    torch.testing.assert_close(compression.model.train()(x), dense.train()(x))
    train(compression)
    for module in compression.model.modules():
        assert not isinstance(module, MorphedActivation) or module.finished


@pytest.mark.parametrize('settings', METHODS)
def test_a_run_resumed_while_they_change_ends_with_the_same_bits(settings: dict, tmp_path: Path
                                                                ) -> None:
    whole = train(begin(**settings)).finish().model
    torch.save(train(begin(**settings), 6).state_dict(), tmp_path / 'state.pth')
    again = begin(**settings)
    again.load_state_dict(torch.load(tmp_path / 'state.pth', weights_only=True))
    resumed = train(again, STEPS - 6, 6).finish().model
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_named_ones_alone_change() -> None:
    result = train(begin(**L1, activation=dict(to='Hardswish', where=['body.2']))).finish()
    assert isinstance(result.model.body[2], nn.Hardswish)
    assert isinstance(result.model.stem[2], nn.SiLU)


@pytest.mark.parametrize(('activation', 'message'), [
    (dict(to='Tanh'), "'Tanh' is none of"),
    (dict(into='ReLU'), "unknown keys \\['into'\\]"),
    (dict(where='some'), "where='some' must be 'all' or a list"),
    (dict(where=['stem.3']), "no module 'stem.3'"),
    (dict(where=['stem.1']), "'stem.1' is a BatchNorm2d with weights"),
    (dict(begin=0.6, end=0.3), 'ascending shares'),
    (dict(end=1.0), 'ascending shares'),
])
def test_a_bad_setting_is_named(activation: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        begin(activation=activation)


def test_a_model_without_any_is_refused() -> None:
    with pytest.raises(ValueError, match='the model has none of SiLU'):
        Morphing().place(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()))


def test_a_run_that_was_stopped_while_they_change_is_refused() -> None:
    compression = begin(method='L1Pruning', schedule=dict(begin=0., end=.1, interval=2))
    train(compression, 6)
    with pytest.raises(TargetMissedError, match='is 50% ReLU only'):
        compression.finish()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    train(begin(**GETA)).finish(tmp_path, onnx=False)
    path = tmp_path / 'activations.json'
    before = json.loads(path.read_text())
    assert set(before) == {'act', 'body.2', 'head.1'}
    for content, message in (('{"act": "Tanh"}', "'Tanh' is none of"), ('{', 'not valid JSON'),
                             ('{"stem.0": "ReLU"}', "no activation 'stem.0'"), ('[]', 'mapping')):
        path.write_text(content)
        with pytest.raises(StructureError, match=message):
            razor_ext.load_compressed_model(SmoothNet(), tmp_path)


def test_the_algorithm_takes_it_from_a_config() -> None:
    algorithm = MODELS.build(dict(
        type='mmrazor.L1Pruning', architecture=SmoothNet(), demo_input=(1, 3, 8, 8),
        target=dict(kind='macs', ratio=0.6), activation=dict(to='ReLU')))
    assert algorithm.activations == dict.fromkeys(('act', 'body.2', 'head.1'), 'ReLU')
