"""A joint run over a vision transformer: attention quantized, resumed to the same bits, rebuilt."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from attention_nets import transformer
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT
from mmengine.runner import Runner
from mmrazor.registry import MODELS
from tiny_geta import geta, geta_runner, optim
from torch import Tensor, nn

from razor_ext.compat import safe_load
from razor_ext.quantization import count_costs, summarize_costs

from .test_geta_resume import assert_same


@ROOT.register_module(force=True)
class TinyViT(BaseModel):
    """Patches of the tiny RTMPose's images, blocks with each attention, the mean as the answer."""

    def __init__(self) -> None:
        super().__init__(data_preprocessor=dict(
            _scope_='mmengine', type='ImgDataPreprocessor', mean=[0.] * 3, std=[255.] * 3))
        self.patches = nn.Conv2d(3, 16, 16, 16)
        self.blocks = nn.Sequential(*transformer('fused', 1), *transformer('explicit', 1),
                                    *transformer('packed', 1))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, inputs: Tensor, data_samples: list | None = None, mode: str = 'tensor'
                ) -> Tensor | dict[str, Tensor]:
        x = self.patches(inputs).flatten(2).transpose(1, 2)
        scores = self.head(self.norm(self.blocks(x)).mean(1))
        if mode != 'loss':
            return scores
        wanted = torch.stack([torch.as_tensor(sample.gt_instance_labels.keypoint_x_labels)
                              for sample in data_samples]).flatten(1)[:, :10]
        return dict(loss=(scores - wanted.to(scores)).square().mean())


def config() -> dict:
    return geta(architecture=dict(type='mmengine.TinyViT'),
                target=dict(kind='macs', ratio=0.8))


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    torch.set_num_threads(1)
    run = geta_runner(tmp_path_factory.mktemp('vit'), config(), optim_wrapper=optim())
    run.train()
    return run


def test_a_resumed_run_ends_with_the_same_bits(tmp_path: Path, whole: Runner) -> None:
    run = geta_runner(tmp_path, config(), optim_wrapper=optim(), resume=True,
                      load_from=str(Path(whole.work_dir) / 'epoch_2.pth'))  # joint
    run.train()
    one, other = (safe_load(Path(r.work_dir) / 'epoch_5.pth') for r in (whole, run))
    for key in ('state_dict', 'optimizer'):
        assert_same(one[key], other[key], key)
    for name in ('fix_subnet.json', 'quant.json'):
        assert (tmp_path / 'compressed' / name).read_text() == (
            Path(whole.work_dir) / 'compressed' / name).read_text()


def test_the_folder_rebuilds_its_attention(whole: Runner) -> None:
    folder = Path(whole.work_dir) / 'compressed'
    layers = json.loads((folder / 'quant.json').read_text())['layers']
    widths = {f'{name}.{operand}': grid['bits'] for name, layer in layers.items()
              for operand, grid in layer['activations'].items()}
    for name in ('blocks.0.attn.left0', 'blocks.1.attn.right1', 'blocks.2.attn.attn.weights',
                 'blocks.2.attn.attn.out_proj.input'):
        assert 4 <= widths[name] <= 8
    model = MODELS.build(dict(type='mmrazor.CompressedModel', compressed=str(folder),
                              checkpoint='auto'))
    x = torch.rand(1, 3, 64, 64)
    costs = count_costs(model, x)
    for cost in costs:
        assert all(None not in sides for _, *sides in cost.products), cost.name
    assert summarize_costs(costs)['relative_bops'] <= 64 / 1024
