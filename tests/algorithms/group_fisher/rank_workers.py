"""What each process of the two-rank test runs: a model with units of both kinds of statistics."""
from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODELS
from torch import nn

from razor_ext.engine.launch import leave_group

STEPS, GLOBAL_BATCH = 3, 4


@MODELS.register_module(force=True)
class TwoKinds(BaseModel):
    """A convolution and its norm, read by taps; queries and keys, read from scales and shifts."""

    def __init__(self, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.base = nn.Linear(8, 6)
        self.gamma, self.beta = nn.Parameter(torch.randn(2, 6)), nn.Parameter(torch.randn(2, 6))
        self.head = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor, data_samples: object = None, mode: str = 'tensor'
                ) -> torch.Tensor | dict[str, torch.Tensor]:
        x = torch.relu(self.norm(self.conv(inputs))).flatten(2).transpose(1, 2)
        scaled = torch.relu(self.base(x)).unsqueeze(2) * self.gamma + self.beta
        out = self.head(scaled[:, :, 0] @ scaled[:, :, 1].transpose(1, 2) @ x).mean(1)
        return {'loss': out.square().mean()} if mode == 'loss' else out


def build() -> nn.Module:
    """Build the algorithm."""
    return MODELS.build(dict(
        _scope_='mmrazor', type='GroupFisher', architecture=dict(type='TwoKinds'),
        demo_input=(1, 3, 6, 6),
        schedule=dict(interval=1, end=1.0)))


def train(rank: int, world_size: int, port: int, folder: str) -> None:
    """Prune for a few steps over the same global batches and save what came of it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if world_size > 1:
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        dist.init_process_group('gloo', rank=rank, world_size=world_size)
    algorithm = build().train()
    algorithm.load_state_dict(torch.load(Path(folder) / 'start.pth', weights_only=True))
    model = algorithm if world_size == 1 else MMDistributedDataParallel(
        module=algorithm, broadcast_buffers=False)
    optimizer = OptimWrapper(torch.optim.SGD(algorithm.parameters(), lr=0.01))
    share = GLOBAL_BATCH // world_size
    first: list[torch.Tensor] = []
    reset = algorithm.criterion.reset

    def keep_first() -> None:
        first.append(algorithm.criterion.info.clone())
        reset()

    algorithm.criterion.reset = keep_first
    algorithm.start(optimizer, STEPS)
    for step in range(STEPS):
        inputs = torch.randn(GLOBAL_BATCH, 3, 6, 6, generator=torch.Generator().manual_seed(step))
        algorithm.before_step(step, STEPS, 1.0)
        model.train_step(dict(inputs=inputs[rank * share:(rank + 1) * share], data_samples=None),
                         optimizer)
        algorithm.after_step(step, STEPS, share)
    torch.save(dict(first=first[0], counts=algorithm.structure(), state=algorithm.state_dict()),
               Path(folder) / f'rank{rank}of{world_size}.pth')
    if world_size > 1:
        leave_group()
