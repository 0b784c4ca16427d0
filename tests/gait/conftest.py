"""Fixtures of the tests that compress gait models."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from tiny_geta import memoize_analysis

from .gait_compression import plain_text, write_silhouettes


@pytest.fixture(scope='module')
def analysed_once() -> Iterator[None]:
    """One thread, one analysis of each structure, configs dumped unformatted."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        memoize_analysis(patch.setattr)
        patch.setattr(Config, 'pretty_text', property(plain_text))
        yield


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of silhouettes, as `write_silhouettes` makes it."""
    folder = tmp_path_factory.mktemp('silhouettes')
    write_silhouettes(folder)
    return folder
