"""Upstream is repaired before any test module imports it; tests prove what they analyse."""
import os
from collections.abc import Iterator
from types import SimpleNamespace

import hypothesis
import pytest

os.environ['RAZOR_EXT_PROOFS'] = ''  # what a test analyses is proved by it

import razor_ext  # noqa: F401

# A change is judged on the examples of the run before it; new ones are tried on purpose, by
# `pytest --hypothesis-profile=default`.
hypothesis.settings.register_profile('repeatable', derandomize=True, database=None)
hypothesis.settings.load_profile('repeatable')


@pytest.fixture(autouse=True, scope='session')
def _no_pause_between_epochs() -> Iterator[None]:
    """MMEngine waits two seconds before an iteration-based loop goes through its data again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.loops.time', SimpleNamespace(sleep=lambda seconds: None))
        yield
