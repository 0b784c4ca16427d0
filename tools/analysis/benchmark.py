"""One dense model, and every way to compress it at equal cost and equal training.

The comparisons of this folder are rows of `Method` over one `Benchmark`. What cuts at once (L1,
Taylor, random) masks its channels within the first steps of a run that goes on for the whole
length: with the masks held that is the training that cutting and finetuning would be. (Where
gradients are clipped, their norm also counts what the biases of pruned channels get behind an
activation that is not flat at zero, such as SiLU.)
"""
from __future__ import annotations

import copy
import re
import uuid
from collections.abc import Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import razor_ext  # noqa: F401  (repairs upstream, before anything of OpenMMLab is used)

# isort: split
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from mmrazor.registry import MODELS
from recipes import Method
from torch import nn

from razor_ext.engine import load_tool_config
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    count_costs,
    find_products,
    fix_bits,
    quantize_model,
    summarize_costs,
)
from razor_ext.structure import build_demo_input
from razor_ext.structure.folder import FOLDER
from razor_ext.structure.slicing import static_copy

CONSTRUCTOR = 'mmrazor.CompressionOptimWrapperConstructor'
#: Settings of a config that a Runner is given.
RUNNER_KEYS = ('train_dataloader', 'test_dataloader', 'test_cfg', 'test_evaluator', 'default_scope',
               'train_cfg', 'optim_wrapper', 'param_scheduler', 'default_hooks', 'randomness',
               'log_level')


class Benchmark:
    """A dense model, its data, and how it is compressed, trained and tested.

    Args:
        config: of the dense model, a file or `package::path`.
        checkpoint: of the dense model.
        work_dir: where its runs write.
        length: training after the dense model, in epochs or iterations as `train_cfg` of the config
            counts.
        lr: learning rate of that training.
        target: what is to be left, as the algorithms take it.
        metrics: title -> key of the evaluator.
        divisor: of the channel counts.
        seed: of the training, of the batches and of chance.
        relative_params: whether parameters are a share of the dense model's, not a number.
        options: changes to the config, as of --cfg-options.

    Example:
        >>> bench = Benchmark('configs/pose/rtmpose-demo_synthetic-128x96.py', 'dense.pth',
        ...                   'work_dirs/bench', 5, 5e-4, dict(kind='macs', ratio=0.5),
        ...                   dict(AP='coco/AP'))                              # doctest: +SKIP
        >>> bench.test(bench.compress(Method('l1')))                           # doctest: +SKIP
        {'AP': 0.55, 'MACs': 0.499, 'params': 278000, 'relative BOPs': 0.499}
    """

    def __init__(self, config: str, checkpoint: str, work_dir: str | Path, length: int, lr: float,
                 target: Mapping[str, Any], metrics: Mapping[str, str], divisor: int = 8,
                 seed: int = 0, relative_params: bool = False,
                 options: Mapping[str, Any] | None = None) -> None:
        if length < 1:
            raise ValueError(f'length={length}: train for one epoch or iteration at least')
        self.checkpoint, self.work_dir = checkpoint, Path(work_dir)
        self.length, self.lr, self.seed = length, lr, seed
        self.target, self.divisor = dict(target), divisor
        self.metrics, self.relative_params = dict(metrics), relative_params
        self.cfg = load_tool_config(config, options)
        self.cfg.model['_scope_'] = self.cfg.default_scope
        self.by_epoch = 'IterBased' not in self.cfg.train_cfg.get('type', '')
        init_default_scope(self.cfg.default_scope)

    def dense(self) -> nn.Module:
        """Build the dense model with its weights."""
        model = MODELS.build(copy.deepcopy(self.cfg.model))
        load_checkpoint(model, self.checkpoint, map_location='cpu')
        return model

    # ---- compressing and training

    def compress(self, method: Method) -> nn.Module:
        """Prune and train by a method, in the length of the benchmark altogether."""
        if method.recipe is not None:
            pruning = max(int(self.length * method.prune), 1)
            return self.finetune(self.prune(method, pruning), self.length - pruning)
        model = self.dense() if method.cut is None else method.cut(self)
        return self.finetune(model, self.length) if method.trained else model

    def prune(self, method: Method, length: int) -> nn.Module:
        """Run a pruning algorithm, and return the sliced model as its folder holds it.

        Args:
            method: its recipe may be that of any pruning algorithm of MMRazor's registry.
            length: of the run, in epochs or iterations.
        """
        model, optim, hooks = method.settings(self)
        run = self._runner('prune', model, length, optim, hooks)
        run.train()
        folder = Path(run.work_dir) / FOLDER
        if not folder.is_dir():  # MMRazor's own algorithms leave none
            return run.model.compressed().model
        return MODELS.build(dict(type='mmrazor.CompressedModel', compressed=str(folder)))

    def finetune(self, model: nn.Module, length: int) -> nn.Module:
        """Train a static model for a number of epochs or iterations; 0 leaves it as it is."""
        if length == 0:
            return model
        model.init_weights = _keep_weights
        run = self._runner('finetune', model, length)
        run.train()
        return run.model

    def static_int8(self, model: nn.Module, num_batches: int = 8) -> nn.Module:
        """Quantize a finished float model to 8 bits from a few batches, without training."""
        model = copy.deepcopy(model).eval()
        loader = Runner.build_dataloader(copy.deepcopy(self.cfg.train_dataloader), seed=self.seed)
        batches = [{**model.data_preprocessor(batch, False), 'mode': 'tensor'}
                   for batch in islice(loader, num_batches)]
        config = QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8),
                             weight_granularity='channel', weight_power=False)
        quantize_model(model, config, find_products(model, batches[0]))
        calibrate(model, batches)
        fix_bits(model)
        return model

    def _runner(self, stage: str, model: nn.Module | dict, length: int = 1,
                optim: Mapping[str, Any] | None = None, hooks: Mapping[str, Any] | None = None
                ) -> Runner:
        cfg, by_epoch = copy.deepcopy(self.cfg), self.by_epoch
        if isinstance(model, nn.Module):
            cfg.pop('model')
        else:
            cfg.model = model
        optimizer = {**cfg.optim_wrapper.optimizer, 'lr': self.lr,
                     **(optim or {}).get('optimizer', {})}
        cfg.optim_wrapper = {**cfg.optim_wrapper, 'constructor': CONSTRUCTOR, **(optim or {}),
                             'optimizer': optimizer}
        cfg.train_cfg = dict(by_epoch=True, max_epochs=length) if by_epoch else dict(
            type='IterBasedTrainLoop', max_iters=length)
        cfg.param_scheduler = rate_schedule(length, by_epoch)
        cfg.default_hooks = dict(checkpoint=dict(
            type='CheckpointHook', by_epoch=by_epoch, interval=length), **(hooks or {}))
        cfg.custom_hooks = []
        cfg.randomness, cfg.log_level = dict(seed=self.seed), 'WARNING'
        cfg.work_dir = str(self.work_dir / stage)
        # Runs of one name would share their message hub.
        return Runner(model=model, work_dir=cfg.work_dir, cfg=cfg,
                      experiment_name=f'{stage}-{uuid.uuid4().hex}',
                      **{key: cfg.get(key) for key in RUNNER_KEYS})

    # ---- figures

    def test(self, model: nn.Module) -> dict[str, float]:
        """Evaluate a model, and count what is deployed of it beside the dense model."""
        found = self._runner('test', model).test()
        costs, dense = self.costs(model), self.dense_costs
        params = costs['params'] / dense['params'] if self.relative_params else costs['params']
        return {**{title: found[key] for title, key in self.metrics.items()},
                'MACs': costs['macs'] / dense['macs'], 'params': params,
                'relative BOPs': costs['bops'] / (dense['macs'] * 1024)}

    @cached_property
    def dense_costs(self) -> dict[str, float]:
        """Costs of the dense model as it is deployed."""
        return self.costs(self.dense())

    def costs(self, model: nn.Module) -> dict[str, float]:
        """Count a model as it is deployed."""
        model = static_copy(model).eval()
        getattr(model, 'switch_to_deploy', _keep_weights)()
        return summarize_costs(count_costs(model, self.example(model)))

    def example(self, model: nn.Module) -> Any:
        """Return the example input of a model, its family's own."""
        return build_demo_input(None).get_data(model)


def rate_schedule(length: int, by_epoch: bool) -> list[dict[str, Any]]:
    """Return the schedule of the learning rate of a run: pose models' by epochs, gait models' by
    iterations.
    """
    if not by_epoch:
        return [dict(type='MultiStepLR', by_epoch=False, gamma=.1,
                     milestones=[length * 7 // 10, length * 9 // 10])]
    schedule = [dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20)]
    if length > 1:
        schedule.append(dict(type='CosineAnnealingLR', eta_min_ratio=.05, begin=length // 2,
                             end=length, T_max=length - length // 2, by_epoch=True,
                             convert_to_iter_based=True))
    return schedule


def folder_name(seed: int, method: str) -> str:
    """Return the folder of a method's runs below that of a comparison.

    Example:
        >>> folder_name(0, 'dense, trained on')
        'seed0/dense_trained_on'
    """
    return f'seed{seed}/' + re.sub(r'\W+', '_', method).strip('_')


def _keep_weights() -> None:
    """Do nothing: a finished model is neither initialised nor changed."""
