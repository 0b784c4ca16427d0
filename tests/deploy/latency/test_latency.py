"""Timing in turns."""
from __future__ import annotations

import pytest

from razor_ext.deploy.latency import Spread, interleave, speedups, time_onnx
from razor_ext.deploy.session import open_session, random_feed

from ..test_counts import small_network


@pytest.mark.smoke
def test_turns_are_interleaved_and_rotate():
    calls: list[str] = []
    clock = iter(range(1000))
    seconds = interleave({'a': lambda: calls.append('a'), 'b': lambda: calls.append('b')},
                         rounds=3, warmup=1, timer=lambda: next(clock))
    assert calls == ['a', 'b', 'a', 'b', 'b', 'a', 'a', 'b']
    assert seconds == {'a': [1, 1, 1], 'b': [1, 1, 1]}


@pytest.mark.smoke
def test_ratios_are_taken_within_a_turn():
    # both are slowed down in the second turn: the ratio does not move
    ratio = speedups({'base': [2.0, 20.0, 4.0], 'fast': [1.0, 10.0, 1.0]}, 'base')
    assert ratio['fast'] == Spread(2.0, 2.0, 4.0)
    assert ratio['base'] == Spread(1.0, 1.0, 1.0)
    assert f'{ratio["fast"]:.1f}' == '2.0 / 2.0 / 4.0'


@pytest.mark.parametrize('runners, rounds', [({}, 3), ({'a': print}, 0)])
def test_nothing_to_time(runners, rounds):
    with pytest.raises(ValueError, match='nothing to time'):
        interleave(runners, rounds)


def test_onnx_files_are_timed(tmp_path):
    path = tmp_path / 'a.onnx'
    path.write_bytes(small_network().SerializeToString())
    seconds = time_onnx({'file': path, 'bytes': path.read_bytes()}, threads=1, rounds=4)
    assert {name: len(values) for name, values in seconds.items()} == {'file': 4, 'bytes': 4}
    assert min(min(values) for values in seconds.values()) > 0


def test_free_sizes_need_a_feed(tmp_path):
    session = open_session(small_network(height='height').SerializeToString(), threads=1)
    with pytest.raises(ValueError, match="input 'input' has free dimensions"):
        random_feed(session)
