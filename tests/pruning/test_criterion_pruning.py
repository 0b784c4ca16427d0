"""What a criterion may rely on when it is called."""
from __future__ import annotations

from pathlib import Path

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.pruning import ChannelIndex, Criterion, CriterionPruning


class Net(BaseModel):
    """Two convolutions."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, channels, 3), nn.Conv2d(channels, 2, 1)

    def forward(self, inputs: torch.Tensor, data_samples: object = None, mode: str = 'tensor'
                ) -> torch.Tensor | dict[str, torch.Tensor]:
        x = self.last(self.first(inputs).relu())
        return {'loss': x.square().mean()} if mode == 'loss' else x


class Norms(Criterion):
    """Keeps the norms of the last step as they come."""

    def record(self, index: ChannelIndex, *args: object) -> None:
        self.last = index.norms()

    def scores(self, index: ChannelIndex) -> torch.Tensor:
        return self.last


class NormPruning(CriterionPruning):
    def build_criterion(self) -> Norms:
        return Norms()


def test_a_criterion_records_without_gradients() -> None:
    """Statistics of the parameters do not hold the graph of a step that is over."""
    algorithm = NormPruning(Net(), target=dict(kind='macs', ratio=0.5), demo_input=(1, 3, 8, 8),
                            schedule=dict(interval=1))
    optimizer = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.1))
    algorithm.start(optimizer, 2)
    algorithm.before_step(0, 2, 1.0)
    algorithm.train().train_step(dict(inputs=torch.randn(2, 3, 8, 8), data_samples=None), optimizer)
    algorithm.after_step(0, 2, 2)
    assert not algorithm.criterion.last.requires_grad


def test_a_model_without_init_cfg_takes_a_checkpoint(tmp_path: Path) -> None:
    """`checkpoint` asks nothing of the model's own arguments."""
    MODELS.register_module(name='NetWithoutInitCfg', module=Net, force=True)
    dense = Net()
    torch.save({'state_dict': dense.state_dict()}, tmp_path / 'dense.pth')
    algorithm = NormPruning(dict(_scope_='mmrazor', type='NetWithoutInitCfg'),
                            checkpoint=str(tmp_path / 'dense.pth'),
                            target=dict(kind='macs', ratio=0.5), demo_input=(1, 3, 8, 8))
    algorithm.init_weights()
    for name, value in dense.state_dict().items():
        assert torch.equal(algorithm.architecture.state_dict()[name], value)
