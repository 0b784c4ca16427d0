"""Runs that are killed anywhere lose nothing; `python -m tests.algorithms.kills` does many."""
from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from ranks import NO_CLOCK
from tiny_geta import quicken

from tests.families.site import install_toy

from .kills import EXPORT, POINTS, Kill, Stage

#: Renames of a run: config, then a checkpoint and its name at every second step, then the folder.
WRITES = (3, 12)


@pytest.fixture(scope='module', autouse=True)
def _quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        with install_toy(tmp_path_factory.mktemp('site'), patch):
            yield


@pytest.fixture(scope='module')
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage('geta', 'toy', 'prune', 1, tmp_path_factory.mktemp('kills') / 'stage')


@pytest.mark.parametrize('point', POINTS)
@pytest.mark.parametrize('write', WRITES)
def test_a_kill_at_a_write_loses_nothing(stage: Stage, write: int, point: str) -> None:
    assert stage.survive(Kill(write, point))


@pytest.mark.parametrize('point', POINTS)
def test_a_kill_in_the_export_loses_nothing(stage: Stage, point: str) -> None:
    assert stage.survive(Kill(stage.writes - EXPORT + 2, point))


@pytest.mark.parametrize('case', range(4))
def test_a_kill_at_any_time_loses_nothing(stage: Stage, case: int) -> None:
    stage.survive(Kill(seconds=random.Random(case).uniform(0, stage.seconds)))


@NO_CLOCK
def test_a_kill_of_one_of_two_ranks_loses_nothing(tmp_path_factory: pytest.TempPathFactory
                                                  ) -> None:
    stage = Stage('geta', 'toy', 'prune', 2, tmp_path_factory.mktemp('ranks') / 'stage')
    assert stage.survive(Kill(12, 'half'))
    assert stage.survive(Kill(stage.writes - EXPORT + 2, 'nothing'))
    for rank in range(2):
        stage.survive(Kill(seconds=stage.seconds / 2, rank=rank))
