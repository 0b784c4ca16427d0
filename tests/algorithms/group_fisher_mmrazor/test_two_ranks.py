"""Two gloo processes against one over the same global batch."""
from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from mmrazor.registry import MODELS
from ranks import NO_CLOCK, run_ranks
from tiny_pose import group_fisher

from .rank_workers import train

pytestmark = NO_CLOCK


@pytest.fixture(scope='module')
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp('ranks')
    torch.manual_seed(0)
    algorithm = MODELS.build(group_fisher())
    algorithm.init_weights()
    torch.save(algorithm.state_dict(), folder / 'start.pth')
    for world_size in (1, 2):
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        run_ranks(train, (world_size, port, str(folder)), world_size)
    return {path.stem: torch.load(path, weights_only=True) for path in Path(folder).glob('rank*')}


def test_both_ranks_end_with_the_same_model(results: dict[str, dict]) -> None:
    """MMRazor's wrapper never averages gradients: its ranks drift apart."""
    one, other = (results[f'rank{rank}of2']['state'] for rank in (0, 1))
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=0, atol=0, msg=key)


def test_two_ranks_have_the_gradients_of_one(results: dict[str, dict]) -> None:
    """The same global batch gives the same gradients, SyncBN included.

    RTMPose's loss is a sum over the batch and DistributedDataParallel averages over the ranks, so
    the gradients of two ranks are half of those of one.
    """
    single, double = results['rank0of1']['steps'][0], results['rank0of2']['steps'][0]
    assert single['gradients'].keys() == double['gradients'].keys()
    for name, gradient in single['gradients'].items():
        difference = (2 * double['gradients'][name] - gradient).norm() / gradient.norm()
        assert difference < 1e-3, name


def test_two_ranks_prune_what_one_prunes(results: dict[str, dict]) -> None:
    single, double = results['rank0of1']['steps'], results['rank0of2']['steps']
    assert [step['counts'] for step in single] == [step['counts'] for step in double]
    assert sum(single[-1]['counts'].values()) == sum(single[0]['counts'].values()) - 3
