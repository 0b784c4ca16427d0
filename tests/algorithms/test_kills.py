"""Runs that are killed anywhere lose nothing; `python -m tests.algorithms.kills` does many."""
from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.families.site import install_toy

from .kills import POINTS, Kill, Stage, prepare

#: Renames of a run: config, then a checkpoint and its name at every second step, then the folder.
WRITES = (2, 3, 12, 23)


@pytest.fixture(scope='module', autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        prepare(patch)
        with install_toy(tmp_path_factory.mktemp('site'), patch):
            yield


@pytest.fixture(scope='module')
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage('geta', 'toy', 'prune', tmp_path_factory.mktemp('kills') / 'stage')


@pytest.mark.parametrize('point', POINTS)
@pytest.mark.parametrize('write', WRITES)
def test_a_kill_at_a_write_loses_nothing(stage: Stage, write: int, point: str) -> None:
    assert stage.survive(Kill(write, point))


@pytest.mark.parametrize('case', range(4))
def test_a_kill_at_any_time_loses_nothing(stage: Stage, case: int) -> None:
    stage.survive(Kill(seconds=random.Random(case).uniform(0, stage.seconds)))
