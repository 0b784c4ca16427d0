"""Odd numbers have defined ends: a finite result, or an error that says what diverged."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from tiny_geta import quicken
from torch import Tensor, nn

from razor_ext.compat import safe_load
from razor_ext.pruning import TargetMissedError
from razor_ext.pruning.errors import NothingTrainedError

from .normed import SpoilHook, odd_run

ALGORITHMS = ('geta', 'group_fisher', 'l1', 'taylor', 'random')
#: The others share their steps and their guard with group_fisher.
MOST = ('geta', 'group_fisher', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'geta_prune_only', 'l1', 'taylor', 'random')))


@pytest.fixture(scope='module', autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield


def _pixel(value: float) -> Callable[[Tensor], None]:
    def spoil(inputs: Tensor) -> None:
        inputs[0, 0, 0] = value
    return spoil


def _all(value: float) -> Callable[[Tensor], None]:
    return lambda inputs: inputs.fill_(value)


def check_finite_end(run: Runner) -> None:
    """Check that everything a run has trained, averaged and written is finite."""
    assert run.iter == run.max_iters
    written = safe_load(Path(run.work_dir, 'compressed', 'compressed.pth'))['state_dict']
    last = safe_load(Path(run.work_dir, f'iter_{run.iter}.pth'))
    states = [written, last['state_dict'], last.get('ema_state_dict', {}), run.model.state_dict()]
    broken = [key for state in states for key, value in state.items()
              if not bool(value.isfinite().all())]
    assert not broken, broken


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_a_nan_pixel_costs_a_step_and_nothing_else(tmp_path: Path, algorithm: str) -> None:
    run = odd_run(algorithm, tmp_path, SpoilHook(_pixel(float('nan')), 6), ema=True)
    run.train()
    check_finite_end(run)


@pytest.mark.parametrize('value', [float('inf'), -float('inf'), 1e30, 3e38, 1e-40])
@pytest.mark.parametrize('algorithm', MOST)
def test_other_pixels(tmp_path: Path, algorithm: str, value: float) -> None:
    run = odd_run(algorithm, tmp_path, SpoilHook(_pixel(value), 6))
    run.train()
    check_finite_end(run)


def test_statistics_are_those_of_the_steps_that_are_finite(tmp_path: Path) -> None:
    """With NaN from a step on, the statistics stay what they were before it."""
    seen: list[Tensor] = []

    class Look(SpoilHook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            norm = runner.model.architecture.norm1
            seen.append(torch.cat([norm.running_mean, norm.running_var]).clone())

    odd_run('l1', tmp_path, Look(_pixel(float('nan')), 6)).train()
    assert torch.equal(seen[6], seen[5]) and not torch.equal(seen[7], seen[6])


@pytest.mark.parametrize('algorithm', ['geta', 'group_fisher', 'l1'])
def test_nan_in_every_step_is_an_error_that_writes_nothing(tmp_path: Path, algorithm: str) -> None:
    run = odd_run(algorithm, tmp_path, SpoilHook(_pixel(float('nan'))))
    with pytest.raises((NothingTrainedError, RuntimeError, ValueError),
                       match=r'every step .* skipped|NaN or infinite|not finite'):
        run.train()
    assert not (tmp_path / 'run' / 'compressed').exists()


def _dead(model: nn.Module) -> None:
    for parameter in (model.conv1.weight, model.conv1.bias, model.norm1.weight, model.norm1.bias):
        parameter.data[:3] = 0


def _zero_layer(model: nn.Module) -> None:
    for parameter in (model.conv2.weight, model.conv2.bias, model.head.weight):
        parameter.data.zero_()


ODD_RUNS = {
    'constant inputs': dict(spoil=_all(1.0)), 'zero inputs': dict(spoil=_all(0.0)),
    'denormal inputs': dict(spoil=_all(1e-40)), 'dead channels': dict(change=_dead),
    'a zero layer': dict(change=_zero_layer), 'lr 0': dict(lr=0.0), 'batch 1': dict(batch_size=1)}


@pytest.mark.parametrize('case', ODD_RUNS)
@pytest.mark.parametrize('algorithm', MOST)
def test_odd_runs_end_with_a_finite_model(tmp_path: Path, algorithm: str, case: str) -> None:
    options = dict(ODD_RUNS[case])
    spoil = options.pop('spoil', None)
    run = odd_run(algorithm, tmp_path, *([] if spoil is None else [SpoilHook(spoil)]), **options)
    run.train()
    check_finite_end(run)


@pytest.mark.parametrize('algorithm', MOST)
def test_a_step_that_overflows_in_half_precision_is_skipped(
        tmp_path: Path, algorithm: str) -> None:
    run = odd_run(algorithm, tmp_path, SpoilHook(_pixel(1e5), 6), wrapper='HalfOptimWrapper')
    before: list[Tensor] = []

    class Look(SpoilHook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            before.append(runner.model.architecture.conv1.weight.detach().clone())

    run.register_hook(Look(_all(0.0), -1))
    run.train()
    skipped = torch.equal(before[6], before[5])
    assert skipped or algorithm == 'geta'  # whose grid of the inputs clips the value
    assert not torch.equal(before[7], before[6])
    check_finite_end(run)


@pytest.mark.parametrize('algorithm', ALGORITHMS)
def test_weights_that_become_nan_are_named_and_nothing_is_written(
        tmp_path: Path, algorithm: str) -> None:
    class Ruin(SpoilHook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            if runner.iter == runner.max_iters - 1:
                runner.model.architecture.conv2.bias.data[0] = float('nan')

    run = odd_run(algorithm, tmp_path, Ruin(_all(0.0), -1))
    with pytest.raises((RuntimeError, ValueError), match=r'NaN or infinite.*conv2.*diverged'):
        run.train()
    assert not (tmp_path / 'run' / 'compressed').exists()


@pytest.mark.parametrize('algorithm', MOST)
def test_a_run_that_diverges_says_so(tmp_path: Path, algorithm: str) -> None:
    """A learning rate of 1e6 may blow the weights up; then the error is not that of a target."""
    run = odd_run(algorithm, tmp_path, lr=1e6)
    try:
        run.train()
    except (NothingTrainedError, RuntimeError, ValueError) as error:
        assert 'learning rate' in str(error) or 'lr_ratio' in str(error)
        if isinstance(error, TargetMissedError):
            assert 'diverged' in str(error)
    else:
        check_finite_end(run)
