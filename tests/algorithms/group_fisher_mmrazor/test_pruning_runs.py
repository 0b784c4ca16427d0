"""Pruning runs through MMEngine's Runner: targets, thresholds, resume and averaged models."""
from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmrazor.registry import MODELS
from tiny_pose import group_fisher, prune_hooks, runner

from razor_ext.algorithms.group_fisher_mmrazor.hooks import TargetMissedError, checkpoint_names
from razor_ext.compat import safe_load
from razor_ext.graph import NothingToPruneError
from razor_ext.structure import StructureError


def _ratio(run: object) -> float:
    return run.model.mutator.current_ratio()


def test_schedule_meets_its_target_and_ends_through_the_loop(tmp_path: Path) -> None:
    run = runner(tmp_path, group_fisher(target_flop_ratio=0.5, prune_end=0.6), epochs=4,
                 hooks=prune_hooks(0.5, 0.75))
    run.train()
    assert 0.4 < _ratio(run) <= 0.5
    assert (tmp_path / 'flops_0.50.pth').is_file() and (tmp_path / 'flops_0.75.pth').is_file()
    # It is met in iteration 9 of 16, and the epoch is finished: 3 of 4.
    assert run.train_loop.stop_training and run.epoch == 3
    assert (tmp_path / 'epoch_3.pth').is_file()


def test_divisor_is_kept_while_pruning(tmp_path: Path) -> None:
    run = runner(tmp_path, group_fisher(target_flop_ratio=0.5, mutator=dict(divisor=4)), epochs=2,
                 hooks=prune_hooks(0.5))
    run.train()
    counts = run.model.mutator.counts()
    assert _ratio(run) <= 0.5
    assert all(count % 4 == 0 for count in counts.values())


def test_one_channel_per_interval_without_a_target(tmp_path: Path) -> None:
    """MMRazor's published configs give no target to the algorithm."""
    run = runner(tmp_path, group_fisher(interval=2), epochs=1)
    before = sum(run.model.mutator.counts().values())
    run.train()
    assert sum(run.model.mutator.counts().values()) == before - 2


def test_a_missed_threshold_is_an_error_that_says_where_it_got_to(tmp_path: Path) -> None:
    run = runner(tmp_path, group_fisher(), epochs=1, hooks=prune_hooks(0.5))
    with pytest.raises(TargetMissedError, match=r'0\.9\d+ of the flops left'):
        run.train()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_an_unreachable_target_is_refused_with_the_reachable_figure() -> None:
    algorithm = MODELS.build(group_fisher(target_flop_ratio=0.05, mutator=dict(min_ratio=0.5)))
    with pytest.raises(ValueError, match=r'target_flop_ratio=0\.05 cannot be met.*0\.\d+ of'):
        algorithm.measure_resource()


def test_a_divisor_larger_than_a_layer_is_refused() -> None:
    with pytest.raises(StructureError, match=r"divisor 32 is larger than unit 'backbone\.stem"):
        MODELS.build(group_fisher(mutator=dict(divisor=32)))


def test_nothing_to_prune_is_an_error() -> None:
    """MMRazor fails with an IndexError in the first pruning."""
    architecture = dict(type='TopdownPoseEstimator', _scope_='mmpose', backbone=dict(
        type='ResNet', depth=18, frozen_stages=-1), head=dict(
        type='HeatmapHead', in_channels=512, out_channels=5, deconv_out_channels=None,
        loss=dict(type='KeypointMSELoss'), decoder=dict(
            type='MSRAHeatmap', input_size=(64, 64), heatmap_size=(2, 2), sigma=1)))
    config = group_fisher(architecture=architecture)
    config['mutator']['parse_cfg'] = dict(type='Config')
    config['mutator']['channel_unit_cfg']['units'] = {}
    with pytest.raises(NothingToPruneError, match='no prunable channel unit'):
        MODELS.build(config)


@pytest.mark.parametrize('name', ['epoch_1.pth', 'flops_0.80.pth'])
def test_checkpoints_of_a_pruning_run_resume(tmp_path: Path, name: str) -> None:
    """Structure and statistics go on from where they were, epoch or threshold checkpoint."""
    config = group_fisher(target_flop_ratio=0.5, prune_end=0.9)
    whole = runner(tmp_path / 'whole', config, epochs=3, hooks=prune_hooks(0.5, 0.8))
    whole.train()
    checkpoint = tmp_path / 'whole' / name
    state = safe_load(checkpoint)['state_dict']
    settings = dict(epochs=3, hooks=prune_hooks(0.5), resume=True, load_from=str(checkpoint))
    looked_at = runner(tmp_path / 'looked_at', config, **settings)
    looked_at.load_or_resume()
    for key, value in looked_at.model.state_dict().items():
        torch.testing.assert_close(value, state[key], rtol=0, atol=0)
    resumed = runner(tmp_path / 'resumed', config, **settings)
    resumed.train()
    assert _ratio(resumed) <= 0.5
    if name == 'epoch_1.pth':
        assert resumed.model.mutator.counts() == whole.model.mutator.counts()
        for key, value in resumed.model.state_dict().items():
            torch.testing.assert_close(value, whole.model.state_dict()[key], rtol=0, atol=0)


def test_an_averaged_model_keeps_the_pruned_structure(tmp_path: Path) -> None:
    """RTMPose trains with EMA over buffers, which would average the masks."""
    ema = dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=0.0002, update_buffers=True,
               priority=49)
    run = runner(tmp_path, group_fisher(target_flop_ratio=0.5), epochs=2,
                 hooks=(ema, *prune_hooks(0.5)))
    run.train()
    saved = copy.deepcopy(run.model)
    saved.load_state_dict(safe_load(tmp_path / 'flops_0.50.pth')['state_dict'])
    assert saved.mutator.counts() == run.model.mutator.counts()


def test_thresholds_that_are_close_get_different_files() -> None:
    names = checkpoint_names('flops', [0.512, 0.514, 0.3])
    assert sorted(names.values()) == ['flops_0.300.pth', 'flops_0.512.pth', 'flops_0.514.pth']
    assert checkpoint_names('flops', [0.51]) == {0.51: 'flops_0.51.pth'}
    with pytest.raises(ValueError, match='twice'):
        checkpoint_names('flops', [0.5, 0.5])


def test_statistics_that_stay_broken_end_the_run() -> None:
    algorithm = MODELS.build(group_fisher())
    algorithm.measure_resource()
    unit = algorithm.mutator.mutable_units[0]
    unit.normalized_fisher_info.fill_(float('nan'))
    before = algorithm.mutator.counts()
    for _ in range(9):
        algorithm.mutator.try_prune()
    assert algorithm.mutator.counts() == before
    with pytest.raises(RuntimeError, match='lower lr_ratio'):
        algorithm.mutator.try_prune()
