"""Transformers, whose streams run through layer norms, pruned from first step to file."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import razor_ext
from razor_ext.graph.norms import mask_aware
from razor_ext.plain import Compression
from razor_ext.structure.slicing import static_copy

STEPS = 12
#: Warm-up to 1, joint from 3 to 9 in two periods of 3.
STAGES = dict(warmup=1, projection=2, pruning=6, projection_periods=2, pruning_periods=2)
METHODS: dict[str, dict[str, Any]] = {
    'GETA': dict(stages=STAGES),
    'L1Pruning': dict(schedule=dict(begin=0.3, end=0.8, interval=2)),
    'GroupFisher': dict(schedule=dict(begin=0.3, end=0.8, interval=2))}
STREAM = 'patches_(0, 24)_24'


class SmallViT(nn.Module):
    """A vision transformer of torch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 24, 4, 4)
        self.position = nn.Parameter(0.1 * torch.randn(1, 16, 24))
        self.blocks = nn.Sequential(*(nn.TransformerEncoderLayer(
            24, 4, 48, dropout=0., activation='gelu', batch_first=True, norm_first=True)
            for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


def batches(count: int, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    for index in range(start, start + count):
        generator = torch.Generator().manual_seed(index)
        y = torch.randint(0, 4, (4, ), generator=generator)
        yield torch.randn(4, 3, 16, 16, generator=generator) + y.view(-1, 1, 1, 1), y


def begin(method: str, **settings: Any) -> Compression:
    torch.manual_seed(0)
    model = SmallViT()
    return razor_ext.compress(
        model, torch.randn(1, 3, 16, 16), torch.optim.AdamW(model.parameters(), lr=1e-3), STEPS,
        method=method, **{'target': dict(kind='macs', ratio=0.5), **METHODS[method], **settings})


def train(compression: Compression, count: int = STEPS, start: int = 0) -> Compression:
    compression.model.train()
    for x, y in batches(count, start):
        nn.functional.cross_entropy(compression.model(x), y).backward()
        compression.optimizer.step()
        compression.optimizer.zero_grad()
    return compression


@pytest.mark.parametrize('method', METHODS)
def test_a_vit_loses_width_and_heads_and_is_the_masked_model(method: str, tmp_path: Path) -> None:
    compression = train(begin(method))
    masked = static_copy(compression.model).double().eval()
    result = compression.finish(tmp_path)
    graph = compression.algorithm.mutator.graph
    assert 0.4 < graph.macs(result.structure) / graph.total_macs <= 0.5
    width = result.structure[STREAM]
    assert width < 24 and all(norm.normalized_shape == (width, ) for norm in
                              result.model.modules() if isinstance(norm, nn.LayerNorm))
    shares = torch.stack([norm.kept_channels for norm in mask_aware(compression.model)])
    assert len(shares) == 5 and (shares == shares[0]).all() and shares[0].sum() == width
    x = next(batches(1, 50))[0]
    expected = masked(x.double())
    difference = (static_copy(result.model).double()(x.double()) - expected).abs().max()
    assert difference < 1e-9 * expected.abs().max()
    again = razor_ext.load_compressed_model(SmallViT(), tmp_path)
    assert torch.equal(again(x), result.model(x))
    got = onnxruntime.InferenceSession(str(result.onnx_file)).run(None, {'input': x.numpy()})[0]
    assert torch.allclose(torch.from_numpy(got), again(x), atol=1e-4)


@pytest.mark.parametrize(('method', 'stop'), [('GETA', 5), ('GETA', 8), ('GroupFisher', 8)])
def test_a_stopped_run_goes_on_to_the_same_bits(method: str, stop: int) -> None:
    whole = train(begin(method))
    state = train(begin(method), stop).state_dict()
    again = begin(method)
    again.load_state_dict(state)
    train(again, STEPS - stop, stop)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name


def test_active_channels_count_less_and_less() -> None:
    """Statistics do not jump where a channel is zeroed: its share falls with its weights."""
    compression, seen = begin('GETA', target=dict(kind='sparsity', ratio=0.5)), []
    for step in range(STEPS):
        train(compression, 1, step)
        seen.append(sorted(set(next(mask_aware(compression.model)).kept_channels.tolist())))
    third = torch.tensor(1 / 3).item()
    shrinking = [[pytest.approx(2 * third), 1.], [pytest.approx(third), 1.], [0., 1.]]
    later = [[0., pytest.approx(2 * third), 1.], [0., pytest.approx(third), 1.], [0., 1.]]
    assert seen == [*3 * [[1.]], *shrinking, *later, *3 * [[0., 1.]]]


def test_a_quantized_vit_keeps_its_norms_over_what_is_left() -> None:
    compression = train(begin('GETA', quant=dict(weight_bits=(4, 8), activation_bits=(6, 8)),
                              calibration=[x for x, _ in batches(2)]))
    result = compression.finish()
    x = next(batches(1, 50))[0]
    assert result.structure[STREAM] < 24
    assert type(result.model.norm) is nn.LayerNorm and result.model(x).isfinite().all()


def test_what_is_kept_whole_on_request_keeps_the_stream() -> None:
    compression = begin('L1Pruning', keep=['patches'], target=dict(kind='macs', ratio=0.7))
    assert STREAM not in compression.algorithm.structure()
    assert not list(mask_aware(compression.model))
