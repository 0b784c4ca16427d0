"""ResNet-20 and VGG-7 with weights and activations quantized end as sliced models that run."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmrazor.registry import MODELS as RAZOR_MODELS
from mmrazor.registry import TASK_UTILS
from tiny_geta import geta, geta_runner, optim
from torch import Tensor, nn
from torch.utils.data import Dataset

from razor_ext.quantization import count_costs, fix_bits, quantized_layers, summarize_costs
from razor_ext.structure.slicing import static_copy

from ..geta.cifar_nets import VGG7, ResNet20

NETS = {'ResNet20': ResNet20, 'VGG7': VGG7}


@MODELS.register_module(force=True)
class CifarNet(BaseModel):
    """One of the networks, with the cross entropy."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.net = NETS[kind](width)

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None, mode: str = 'tensor'):
        logits = self.net(inputs)
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(logits, data_samples))
        return logits


@DATASETS.register_module(force=True)
class ColouredNoise(Dataset):
    """Noise whose mean colour tells the class."""

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        label = index % 10
        image = torch.randn(3, 32, 32, generator=generator)
        image[label % 3] += label / 3
        return dict(inputs=image, data_samples=torch.tensor(label))


@TASK_UTILS.register_module(force=True)
class CifarInput:
    """A batch of one image."""

    def get_data(self, model: nn.Module) -> dict:
        return dict(inputs=torch.zeros(1, 3, 32, 32), mode='tensor')


def run_joint(tmp_path: Path, kind: str, width: int, batch_size: int,
              wrapper: dict | None = None) -> tuple:
    model = geta(architecture=dict(type='mmengine.CifarNet', kind=kind, width=width),
                 mutator=dict(type='GETAMutator', demo_input=dict(type='CifarInput')),
                 target=dict(kind='sparsity', ratio=0.5))
    loader = dict(batch_size=batch_size, num_workers=0, dataset=dict(type='ColouredNoise'),
                  sampler=dict(type='DefaultSampler', shuffle=True),
                  collate_fn=dict(type='default_collate'))
    run = geta_runner(tmp_path, model, epochs=20 * batch_size // 32, default_scope='mmengine',
                      train_dataloader=loader,
                      optim_wrapper=optim(wrapper=wrapper, variant='sgd', lr=1e-2))
    run.train()
    masked = static_copy(run.model.architecture).eval()
    fix_bits(masked)
    sliced = RAZOR_MODELS.build(dict(
        _scope_='mmrazor', type='CompressedModel', demo_input=dict(type='CifarInput'),
        architecture=dict(type='mmengine.CifarNet', kind=kind, width=width),
        fix_subnet=str(tmp_path / 'compressed' / 'fix_subnet.json'),
        quant=str(tmp_path / 'compressed' / 'quant.json'),
        checkpoint=str(tmp_path / 'compressed' / 'compressed.pth'))).eval()
    return run, masked, sliced


def check(tmp_path: Path, kind: str, width: int, batch_size: int) -> dict[str, float]:
    run, masked, sliced = run_joint(tmp_path, kind, width, batch_size)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        found, wanted = sliced(x), masked(x)
    # A sum in another order can take an activation at the edge of a step to the next one.
    torch.testing.assert_close(found, wanted, rtol=0., atol=float(0.02 * wanted.abs().max()))
    assert torch.isclose(found, wanted, rtol=1e-4, atol=1e-5).float().mean() > 0.7
    counts = json.loads((tmp_path / 'compressed' / 'fix_subnet.json').read_text())
    sizes = run.model.mutator.choice_template
    assert sum(sizes.values()) - sum(counts.values()) == sum(sizes.values()) // 2
    operands = [q for _, layer in quantized_layers(sliced)
                for q in layer.operand_quantizers().values()]
    assert operands and all(4 <= quantizer.fixed_bits <= 8 for quantizer in operands)
    dense_macs = run.model.mutator.graph.total_macs
    costs = summarize_costs(count_costs(sliced, dict(inputs=x[:1])), dense_macs)
    print(kind, {name: round(value, 5) for name, value in costs.items()})
    return {**costs, 'dense_macs': dense_macs,
            'dense_params': run.model.mutator.graph.total_params}


@pytest.mark.parametrize('kind', ['ResNet20', 'VGG7'])
def test_narrow(tmp_path: Path, kind: str) -> None:
    costs = check(tmp_path, kind, width=8, batch_size=8)
    # The paper's relative BOPs: of the dense float model. Half the channels, 4 to 8 bits.
    assert costs['relative_bops'] == costs['bops'] / (costs['dense_macs'] * 1024)
    assert 0.001 < costs['relative_bops'] < 64 / 1024


@pytest.mark.slow
@pytest.mark.parametrize('kind, width, params, macs', [
    ('ResNet20', 16, 272_474, 40.81e6), ('VGG7', 128, 5_115_530, 608.05e6)])
def test_full_size(tmp_path: Path, kind: str, width: int, params: int, macs: float) -> None:
    costs = check(tmp_path, kind, width, batch_size=8)
    assert costs['dense_params'] == pytest.approx(params, rel=0.01)
    assert costs['dense_macs'] == pytest.approx(macs, rel=0.01)
    assert costs['relative_bops'] < 64 / 1024
