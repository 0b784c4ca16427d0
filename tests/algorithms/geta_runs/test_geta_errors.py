"""What a GETA run refuses, and what it says."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmrazor.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from tiny_geta import HOOKS, SHAPE, STAGES, geta, geta_runner, optim
from tiny_pose import tiny_rtmpose

from razor_ext.graph import NothingToPruneError
from razor_ext.pruning import NothingTrainedError, PruningHook, TargetMissedError


def constructor(settings: dict) -> object:
    options = {key: value for key, value in settings.items()
               if key not in ('constructor', 'paramwise_cfg')}
    return OPTIM_WRAPPER_CONSTRUCTORS.build(dict(
        type=settings['constructor'], optim_wrapper_cfg=options,
        paramwise_cfg=settings['paramwise_cfg']))


@pytest.mark.parametrize('change, message', [
    (dict(quant=dict(weight_bits=(8, 4))), r'weight_bits=\(8, 4\).*2 <= fewest <= most'),
    (dict(quant=dict(weigth_bits=(4, 8))), r"unknown keys \['weigth_bits'\]"),
    (dict(quant=dict(mean_bits=1)), r'mean_bits=1 must lie in \[2, 16\]'),
    (dict(quant=dict(mean_bits=5), target=dict(kind='bops', ratio=.02)), 'keep one of them'),
    (dict(quant=None, target=None), 'quant and target are both None'),
    (dict(target=dict(kind='energy', ratio=.5)), 'kind .*sparsity, macs, params, bops, latency'),
    (dict(target=dict(kind='latency', ratio=.5)), r"kind='latency' without table.*latency_table"),
    (dict(target=dict(kind='macs')), "target={'kind': 'macs'}: give kind"),
    (dict(quant=None, target=dict(kind='bops', ratio=.1)), "kind='bops' without quant"),
    (dict(stages=dict(STAGES, pruning_periods=0)), 'pruning_periods=0'),
    (dict(mutator=dict(type='GETAMutator', demo_input=SHAPE, keep=['backbone.stm'])),
     "no module or parameter named 'backbone.stm'"),
    (dict(mutator=dict(type='GETAMutator', demo_input=SHAPE, divisor={'stem': 4})),
     r"names \['stem'\], which are no units")])
def test_settings_of_the_algorithm(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MODELS.build(geta(**change))


def test_nothing_to_prune_is_an_error() -> None:
    with pytest.raises(NothingToPruneError, match='nothing to prune'):
        MODELS.build(geta(mutator=dict(type='GETAMutator', demo_input=SHAPE,
                                       keep=['backbone', 'head'])))


@pytest.mark.parametrize('change, settings, message', [
    ({}, optim('LBFGS'), "optimizer type 'LBFGS'; this constructor knows QASSO, HESSO"),
    ({}, optim('Lion'), "optimizer type 'Lion'; this constructor knows QASSO, HESSO"),
    ({}, optim('HESSO'), 'HESSO only prunes: set quant=None and a target'),
    ({}, optim(saliency=dict(weights=dict(magnitud=1.))), 'unknown importance criteria'),
    ({}, optim(beta=.9), 'adamw has no option beta'),
    (dict(quant=None), optim('OTOHESSO'), 'OTOHESSO has no settings by parameter'),
    (dict(quant=None), optim('OTOHESSO', dict(paramwise_cfg=None)), 'give warmup, projection and'),
    (dict(target=dict(kind='macs', ratio=.0001)), optim(), r'beyond reach.*0\.\d+ of the dense'),
    (dict(target=dict(kind='sparsity', ratio=.999), mutator=dict(
        type='GETAMutator', demo_input=SHAPE, divisor=8)), optim(), 'nearest reachable')])
def test_settings_of_the_optimizer(change: dict, settings: dict, message: str) -> None:
    pytest.importorskip('only_train_once')
    model = MODELS.build(geta(**change))
    with pytest.raises(ValueError, match=message):
        constructor(settings)(model)


def test_finetuning_optimizers_are_for_other_models() -> None:
    with pytest.raises(ValueError, match='compresses a model of type GETA, not Linear; to finetun'):
        constructor(optim())(torch.nn.Linear(2, 2))


def test_sharded_models_are_refused() -> None:
    class FullyShardedDataParallel(torch.nn.Linear):
        pass

    with pytest.raises(ValueError, match=r'the model is sharded.*MMDistributedDataParallel'):
        constructor(optim())(FullyShardedDataParallel(2, 2))


def test_stages_longer_than_the_run(tmp_path: Path, dense: Path) -> None:
    run = geta_runner(tmp_path, geta(dense, stages=dict(STAGES, warmup=15)))
    with pytest.raises(ValueError, match=r'longer than the run: warmup 15 .* of 20'):
        run.train()


def test_a_run_without_its_hook_stops_at_the_first_step(tmp_path: Path, dense: Path) -> None:
    run = geta_runner(tmp_path, geta(dense), hooks=HOOKS[:1])
    with pytest.raises(RuntimeError, match=r'add pruning=.*PruningHook'):
        run.train()


def test_the_hook_belongs_to_geta(tmp_path: Path) -> None:
    model = dict(tiny_rtmpose(), _scope_='mmpose')
    run = geta_runner(tmp_path, model, optim_wrapper=dict(
        type='OptimWrapper', optimizer=dict(type='SGD', lr=.1)), hooks=HOOKS[1:])
    with pytest.raises(TypeError, match=r'belongs to a pruning algorithm .*, not to a Topdown'):
        run.train()
    with pytest.raises(ValueError, match='interval=0'):
        PruningHook(interval=0)


class StopHook(Hook):
    """Ends the run after three epochs."""

    def after_train_epoch(self, runner: object) -> None:
        runner.train_loop.stop_training = runner.epoch == 2


@pytest.mark.parametrize('change, message', [
    ({}, r'macs are left, \d+\.\d+% more than the target ratio 0\.5 allows'),
    (dict(target=dict(kind='sparsity', ratio=.5)), r'\d+ of \d+ channels are zero, \d+ were asked'),
    (dict(target=None), r'has \d\.\d+ bits, which is no whole width in \[4, 8\]')])
def test_a_missed_target_says_by_how_much_and_keeps_checkpoints(
        tmp_path: Path, dense: Path, change: dict, message: str) -> None:
    run = geta_runner(tmp_path, geta(dense, **change))
    run.register_hook(StopHook())
    with pytest.raises(TargetMissedError, match=message):
        run.train()
    assert (tmp_path / 'epoch_3.pth').is_file()
    assert not (tmp_path / 'compressed').exists()


class PoisonHook(Hook):
    """Makes the loss NaN for some steps."""

    def __init__(self, steps: range) -> None:
        self.steps = steps

    def before_train_iter(self, runner: object, batch_idx: int, data_batch: dict) -> None:
        if runner.iter in self.steps:
            labels = data_batch['data_samples'][0].gt_instance_labels
            labels.keypoint_x_labels = labels.keypoint_x_labels * float('nan')


def test_a_nan_loss_is_skipped_and_counted(tmp_path: Path, dense: Path) -> None:
    settings = optim()
    settings.pop('clip_grad')
    run = geta_runner(tmp_path, geta(dense), optim_wrapper=settings)
    run.register_hook(PoisonHook(range(5, 7)))
    run.train()
    assert run.optim_wrapper.optimizer.skipped_steps == 2
    assert all(torch.isfinite(p).all() for p in run.model.parameters())


def test_a_loss_that_stays_nan_stops_the_run(tmp_path: Path, dense: Path) -> None:
    run = geta_runner(tmp_path, geta(dense), optim_wrapper=optim(max_skipped_steps=3))
    run.register_hook(PoisonHook(range(5, 20)))
    with pytest.raises(RuntimeError, match=r'NaN or infinite in 3 consecutive steps .*lower the'):
        run.train()
    assert run.iter == 7


def test_a_run_that_skips_every_step_writes_nothing(tmp_path: Path, dense: Path) -> None:
    """It ended well, with the weights that it had started from and random channels gone."""
    run = geta_runner(tmp_path, geta(dense))
    run.register_hook(PoisonHook(range(20)))
    with pytest.raises(NothingTrainedError, match=r'every step of the 20 iterations was skipped'):
        run.train()
    assert not (tmp_path / 'compressed').exists()
