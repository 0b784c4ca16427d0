"""Kill anywhere, resume: the same bits as without interruption, and the same files."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from tiny_geta import HOOKS, geta, geta_runner, optim

from razor_ext.compat import safe_load

EMA = dict(type='EMAHook', momentum=0.2, update_buffers=True, priority=49)


def assert_same(left: object, right: object, place: str = '') -> None:
    assert type(left) is type(right), place
    if isinstance(left, dict):
        assert left.keys() == right.keys(), place
        for key in left:
            assert_same(left[key], right[key], f'{place}.{key}')
    elif isinstance(left, (list, tuple)):
        assert len(left) == len(right), place
        for i, (a, b) in enumerate(zip(left, right)):
            assert_same(a, b, f'{place}[{i}]')
    elif isinstance(left, torch.Tensor):
        assert torch.equal(left, right), place
    else:
        assert left == right, place


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory, dense: Path) -> Runner:
    torch.set_num_threads(1)
    run = geta_runner(tmp_path_factory.mktemp('whole'), geta(dense), hooks=(EMA, *HOOKS),
                      optim_wrapper=optim(variant='adam'))
    run.train()
    return run


# Warm-up to 3, projection to 8, two periods to 12 and 16, then cool-down.
@pytest.mark.parametrize('step', [4, 8, 12, 16])
def test_resumed_run_is_the_uninterrupted_one(tmp_path: Path, dense: Path, whole: Runner,
                                              step: int) -> None:
    stages = {4: 'projection', 8: 'joint', 12: 'joint', 16: 'cooldown'}
    checkpoint = Path(whole.work_dir) / f'epoch_{step // 4}.pth'
    run = geta_runner(tmp_path, geta(dense), hooks=(EMA, *HOOKS), resume=True,
                      load_from=str(checkpoint), optim_wrapper=optim(variant='adam'))
    run.train()
    saved = safe_load(checkpoint)
    assert saved['optimizer']['compression']['steps'] == step
    assert run.optim_wrapper.optimizer.plan.stage(step) == stages[step]
    one, other = (safe_load(Path(r.work_dir) / 'epoch_5.pth') for r in (whole, run))
    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        assert_same(one[key], other[key], key)
    for name in ('fix_subnet.json', 'quant.json'):
        assert (tmp_path / 'compressed' / name).read_text() == (
            Path(whole.work_dir) / 'compressed' / name).read_text()
    assert_same(*(safe_load(Path(r.work_dir) / 'compressed' / 'compressed.pth')['state_dict']
                  for r in (whole, run)))


def test_another_length_is_refused(tmp_path: Path, dense: Path, whole: Runner) -> None:
    run = geta_runner(tmp_path, geta(dense), epochs=6, hooks=(EMA, *HOOKS), resume=True,
                      load_from=str(Path(whole.work_dir) / 'epoch_2.pth'),
                      optim_wrapper=optim(variant='adam'))
    with pytest.raises(ValueError, match='saved with another plan'):
        run.train()
