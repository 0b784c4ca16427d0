"""Long runs hold no more at their end than at their beginning."""
from __future__ import annotations

from pathlib import Path

import pytest

from .long_run import PARTS, Sample, faults, watch


@pytest.mark.slow
@pytest.mark.parametrize('algorithm', ['geta', 'group_fisher'])
def test_nothing_grows(tmp_path: Path, algorithm: str) -> None:
    assert not faults(watch(algorithm, 20_000, tmp_path))


@pytest.mark.parametrize(('change', 'message'), [
    (lambda part: Sample((part + 1) << 20, 9, 1.0), '9 MiB of memory'),
    (lambda part: Sample(1 << 20, part + 9, 1.0), 'open files'),
    (lambda part: Sample(1 << 20, 9, 1 + part), 'steps of 20000.00 ms')])
def test_growth_is_seen(change, message: str) -> None:
    assert not faults([Sample(1 << 20, 9, 1.0)] * PARTS)
    fault, = faults([change(part) for part in range(PARTS)])
    assert message in fault
