"""Two gloo processes: one model, one structure, and resume to the same bits."""
from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from ranks import NO_CLOCK, run_ranks
from tiny_geta import dense_checkpoint

from .geta_rank_workers import train

pytestmark = NO_CLOCK
STAGES = ('projection', 'joint', 'cooldown')


@pytest.fixture(scope='module')
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    folder = tmp_path_factory.mktemp('ranks')
    dense_checkpoint(folder / 'dense.pth')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    run_ranks(train, (2, port, str(folder)))
    for name in ('whole', *STAGES):
        assert (Path(folder) / name / 'compressed' / 'compressed.pth').is_file()
    return [torch.load(folder / f'rank{rank}.pth', weights_only=True) for rank in range(2)]


def test_both_ranks_end_with_the_same_model(results: list[dict]) -> None:
    one, other = (result['whole'] for result in results)
    assert one['pruned'].any() and torch.equal(one['pruned'], other['pruned'])
    assert one['bits'] == other['bits']
    assert one['state'] == other['state'] and one['optimizer'] == other['optimizer']


@pytest.mark.parametrize('stage', STAGES)
def test_two_ranks_resume_to_the_same_bits(results: list[dict], stage: str) -> None:
    for result in results:
        assert torch.equal(result['whole']['pruned'], result[stage]['pruned'])
        assert result['whole']['state'] == result[stage]['state']
        assert result['whole']['optimizer'] == result[stage]['optimizer']
