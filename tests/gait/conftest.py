"""Fixtures of the tests that compress gait models."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_geta import quicken

from .gait_compression import write_silhouettes


@pytest.fixture(scope='module')
def analysed_once() -> Iterator[None]:
    """One thread, one analysis of each structure, configs dumped unformatted."""
    with pytest.MonkeyPatch.context() as patch:
        quicken(patch)
        yield


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of silhouettes, as `write_silhouettes` makes it."""
    folder = tmp_path_factory.mktemp('silhouettes')
    write_silhouettes(folder)
    return folder
