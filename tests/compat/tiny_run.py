"""The smallest run there is: a line, noise from every generator, checkpoints."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Line(BaseModel):
    """A line, with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, inputs, labels, mode='tensor'):
        out = self.layer(nn.functional.dropout(torch.stack(inputs), 0.5, self.training))
        if mode == 'loss':
            return {'loss': (out - torch.stack(labels)).pow(2).mean()}
        return list(out) if mode == 'predict' else out


class Noise(Dataset):
    """Samples of random transforms: they use Python's, NumPy's and torch's generators."""

    metainfo: dict = {}

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        noise = [random.random(), np.random.random(), float(torch.rand(()))]
        return dict(inputs=index + torch.tensor(noise), labels=torch.ones(1))


class MeanOutput(BaseMetric):
    """The mean of what the model gives."""

    def process(self, data_batch, data_samples):
        self.results.extend(float(sample) for sample in data_samples)

    def compute_metrics(self, results):
        return {'mean': float(np.mean(results))}


class Stopped(Exception):
    """Stands for a kill."""


class StopHook(Hook):
    """Ends the run before an iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise Stopped


def make_run(work_dir: Path, stop: int | None = None, *, epochs: bool = True, workers: int = 0,
             persistent: bool = False, resume: bool = False, seed: int | None = 0,
             checkpoint: dict | None = None, length: int = 3) -> Runner:
    """Return a run of `length` epochs of four batches, or as many iterations."""
    torch.manual_seed(0)  # of the weights, which are made before the run has its seed
    loader = dict(batch_size=2, num_workers=workers, persistent_workers=persistent,
                  dataset=Noise(), collate_fn=pseudo_collate,
                  sampler=dict(type='DefaultSampler', shuffle=True))
    train = dict(by_epoch=True, max_epochs=length) if epochs else dict(
        by_epoch=False, max_iters=4 * length, val_interval=4)
    return Runner(
        model=Line(), work_dir=str(work_dir), train_dataloader=loader, train_cfg=train,
        val_dataloader=DataLoader(Noise(), batch_size=2, collate_fn=pseudo_collate),
        val_evaluator=[MeanOutput()], val_cfg=dict(),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9)),
        default_hooks=dict(checkpoint={
            'type': 'CheckpointHook', 'by_epoch': epochs, 'interval': 1 if epochs else 2,
            **(checkpoint or {})}),
        custom_hooks=[] if stop is None else [StopHook(stop)], resume=resume,
        randomness=dict(seed=seed), experiment_name=f'{work_dir}{stop}{resume}'.replace('/', '.'),
        default_scope='mmengine', log_level='ERROR')


def weights(run: Runner) -> dict[str, Any]:
    """Return the trained values."""
    return {key: value.tolist() for key, value in run.model.state_dict().items()}
