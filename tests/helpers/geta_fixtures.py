"""Fixtures for tests of GETA runs: one thread, one analysis, one checkpoint, one joint run."""
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner
from tiny_geta import dense_checkpoint, geta, geta_runner, memoize_analysis


@pytest.fixture(scope='session', autouse=True)
def analysed_once():
    with pytest.MonkeyPatch.context() as patch:
        memoize_analysis(patch.setattr)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope='session')
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dense_checkpoint(tmp_path_factory.mktemp('dense') / 'dense.pth')


@pytest.fixture(scope='session')
def joint(tmp_path_factory: pytest.TempPathFactory, dense: Path) -> Runner:
    """A joint run of 20 steps, finished; its files are in its work_dir."""
    torch.set_num_threads(1)
    run = geta_runner(tmp_path_factory.mktemp('joint'), geta(dense))
    run.train()
    return run
