"""What each process of the two-rank tests runs."""
from __future__ import annotations

import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine import MessageHub
from mmengine.optim import OptimWrapper
from mmrazor.registry import MODEL_WRAPPERS, MODELS
from tiny_pose import batch, group_fisher

from razor_ext.engine.launch import leave_group

STEPS, GLOBAL_BATCH = 4, 4


class _KeepGradients(OptimWrapper):
    """Keeps the gradients of the last step, which the optimizer clears."""

    def step(self, **kwargs: object) -> None:
        self.kept = {name: parameter.grad.clone() for name, parameter in self.named.items()
                     if parameter.grad is not None}
        super().step(**kwargs)


def train(rank: int, world_size: int, port: int, folder: str) -> None:
    """Prune for a few steps over the same global batches and save what came of it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if world_size > 1:
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
        dist.init_process_group('gloo', rank=rank, world_size=world_size)
    algorithm = MODELS.build(group_fisher())
    state = Path(folder) / 'start.pth'
    if state.is_file():
        algorithm.load_state_dict(torch.load(state, weights_only=True))
    algorithm.train()
    model = algorithm if world_size == 1 else MODEL_WRAPPERS.build(
        dict(type='mmrazor.GroupFisherDDP', module=algorithm, broadcast_buffers=False))
    optimizer = _KeepGradients(torch.optim.SGD(algorithm.parameters(), lr=0.05))
    optimizer.named = dict(algorithm.named_parameters())
    hub = MessageHub.get_instance(f'ranks{world_size}')
    hub.update_info('max_iters', STEPS)
    share, results = GLOBAL_BATCH // world_size, []
    for step in range(STEPS):
        hub.update_info('iter', step)
        start = step * GLOBAL_BATCH + rank * share
        model.train_step(batch(start, start + share), optimizer)
        results.append(dict(gradients=optimizer.kept, counts=algorithm.mutator.counts()))
    torch.save(dict(steps=results, state=algorithm.state_dict()),
               Path(folder) / f'rank{rank}of{world_size}.pth')
    if world_size > 1:
        leave_group()
