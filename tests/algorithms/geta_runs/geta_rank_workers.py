"""What each process of the two-rank tests runs."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.model import is_model_wrapper
from tiny_geta import geta, geta_runner, memoize_analysis

from razor_ext.engine.launch import leave_group


def train(rank: int, world_size: int, port: int, folder: str) -> None:
    """Run to the end, then again from the checkpoint of each stage, and note what came of it."""
    torch.set_num_threads(1)
    memoize_analysis()
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank),
                      LOCAL_RANK=str(rank), WORLD_SIZE=str(world_size))
    dist.init_process_group('gloo', rank=rank, world_size=world_size)
    root, results = Path(folder), {}
    for name, resume in (('whole', None), ('projection', 1), ('joint', 2), ('cooldown', 4)):
        options: dict = dict(
            launcher='pytorch', env_cfg=dict(dist_cfg=dict(backend='gloo')),
            model_wrapper_cfg=dict(type='MMDistributedDataParallel', broadcast_buffers=False,
                                   device_ids=None))
        if resume is not None:
            options.update(resume=True, load_from=str(root / 'whole' / f'epoch_{resume}.pth'))
        loader = dict(batch_size=1, num_workers=0, dataset=dict(type='DotPeople'),
                      sampler=dict(type='DefaultSampler', shuffle=True, seed=0))
        run = geta_runner(root / name, geta(root / 'dense.pth'), train_dataloader=loader, **options)
        assert is_model_wrapper(run.model)
        run.train()
        optimizer = run.optim_wrapper.optimizer
        results[name] = dict(state=digest(run.model.module.state_dict()),
                             optimizer=digest(flatten(optimizer.state_dict())),
                             pruned=optimizer.pruned, bits=optimizer.frozen_bits)
    torch.save(results, root / f'rank{rank}.pth')
    leave_group()


def flatten(value: object, place: str = '') -> dict:
    """Tensors and numbers of nested containers by path."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return {place: value}
    return {key: leaf for name, item in items
            for key, leaf in flatten(item, f'{place}.{name}').items()}


def digest(values: dict) -> str:
    """One hash over tensors and numbers."""
    total = hashlib.sha256()
    for key in sorted(values):
        value = values[key]
        total.update(key.encode())
        total.update(value.cpu().numpy().tobytes() if isinstance(value, torch.Tensor)
                     else repr(value).encode())
    return total.hexdigest()
