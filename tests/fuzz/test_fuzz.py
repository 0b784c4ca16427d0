"""Some hundreds of damaged inputs; `python -m tests.fuzz` tries ten thousand of each kind."""
from __future__ import annotations

import pytest

from .harness import fuzz
from .targets import TARGETS


@pytest.mark.parametrize('name', TARGETS)
def test_damage_is_read_or_named(name: str) -> None:
    _, failures = fuzz(TARGETS[name], 40, 0)
    assert not failures, '\n'.join(failures)
