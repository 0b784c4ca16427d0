"""Runs of every algorithm over a tiny model with batch norms, on numbers that a hook spoils."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from .settings import ALGORITHMS, STEPS


@MODELS.register_module(force=True)
class NormedRegressor(BaseModel):
    """Two convolutions with batch norms, the mean over positions, a linear layer."""

    def __init__(self, data_preprocessor: dict | None = None, init_cfg: dict | None = None) -> None:
        super().__init__(data_preprocessor or None, init_cfg)
        self.conv1, self.norm1 = nn.Conv1d(2, 8, 3, padding=1), nn.BatchNorm1d(8)
        self.conv2, self.norm2 = nn.Conv1d(8, 12, 3, padding=1), nn.BatchNorm1d(12)
        self.head = nn.Linear(12, 1)

    def forward(self, inputs: Tensor, data_samples: Tensor | None = None,
                mode: str = 'tensor') -> Any:
        x = self.norm1(self.conv1(inputs)).relu()
        x = self.head(self.norm2(self.conv2(x)).relu().mean(-1))
        return dict(loss=nn.functional.mse_loss(x, data_samples)) if mode == 'loss' else x


@OPTIM_WRAPPERS.register_module(force=True)
class HalfOptimWrapper(OptimWrapper):
    """Computes in half precision on the CPU, as `AmpOptimWrapper` does on a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.float16):
            yield


class Sines(Dataset):
    """Sines, and their frequency."""

    def __len__(self) -> int:
        return 160

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        frequency = torch.rand(1, generator=torch.Generator().manual_seed(index))
        phase = 6 * frequency * torch.linspace(0, 1, 16)
        return dict(inputs=torch.stack([phase.sin(), phase.cos()]), data_samples=frequency)


class SpoilHook(Hook):
    """Changes the inputs of a step, or of all."""

    priority = 'VERY_HIGH'

    def __init__(self, spoil: Callable[[Tensor], None], step: int | None = None) -> None:
        self.spoil, self.step = spoil, step

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self.step in (None, runner.iter):
            self.spoil(data_batch['inputs'])


def dense_weights(path: Path, change: Callable[[nn.Module], None] | None = None) -> Path:
    """Write weights of a NormedRegressor whose norms have seen data."""
    torch.manual_seed(0)
    model = NormedRegressor()
    model.train()(torch.stack([Sines()[i]['inputs'] for i in range(16)]))
    if change is not None:
        change(model)
    torch.save({'state_dict': model.state_dict()}, path)
    return path


def odd_run(algorithm: str, folder: Path, *hooks: Hook, lr: float = 1e-2, batch_size: int = 8,
            change: Callable[[nn.Module], None] | None = None, ema: bool = False,
            steps: int = STEPS, wrapper: str = 'OptimWrapper') -> Runner:
    """Return a run of an algorithm of `settings.ALGORITHMS`, with two checkpoints at a time."""
    row = ALGORITHMS[algorithm]
    base, prefix = Config.fromfile(row.base), row.prefix
    dense = dense_weights(folder / 'dense.pth', change)
    model = dict(base[prefix], architecture=dict(type='mmengine.NormedRegressor'),
                 checkpoint=str(dense), demo_input=(1, 2, 16))
    model.update(row.model)
    runner = Runner.from_cfg(Config(dict(
        model=model, work_dir=str(folder / 'run'), default_scope='mmengine',
        experiment_name=str(folder).replace('/', '.'), randomness=dict(seed=0), log_level='ERROR',
        train_dataloader=dict(batch_size=batch_size, num_workers=0, dataset=Sines(),
                              sampler=dict(type='DefaultSampler', shuffle=True),
                              collate_fn=default_collate),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=steps),
        optim_wrapper={'type': wrapper, **base[f'{prefix}_optim'], **row.optim,
                       'optimizer': dict(type='SGD', lr=lr, momentum=.9)},
        custom_hooks=[dict(type='EMAHook', update_buffers=True, priority=49)] if ema else [],
        default_hooks=dict(base[f'{prefix}_hooks'], checkpoint=dict(
            type='CheckpointHook', by_epoch=False, interval=steps // 2, max_keep_ckpts=2)))))
    for hook in hooks:
        runner.register_hook(hook)
    return runner
