"""Run code in a fresh interpreter, with chosen repairs left out."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from razor_ext import compat

ROOT = Path(__file__).resolve().parents[2]

# Applies the repairs alone: with one left out, what razor_ext registers may not be importable.
ONLY_REPAIRS = '''
import importlib, sys, types
package = types.ModuleType('razor_ext')
package.__path__ = ['razor_ext']
sys.modules['razor_ext'] = package
compat = importlib.import_module('razor_ext.compat')
states = {record.name: record.state for record in compat.apply()}
'''


@pytest.fixture
def run_python() -> Callable[..., subprocess.CompletedProcess]:
    """Return a function that runs Python source and returns the finished process."""

    def run(source: str, skip: str = '', **environment: str) -> subprocess.CompletedProcess:
        paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', source], capture_output=True, text=True,
            timeout=240, check=False, cwd=ROOT,
            env={**os.environ, 'RAZOR_EXT_SKIP_REPAIRS': skip, 'OMP_NUM_THREADS': '1',
                 'PYTHONPATH': os.pathsep.join(filter(None, paths)), **environment})

    return run


@pytest.fixture
def run_repaired(run_python: Callable) -> Callable[..., subprocess.CompletedProcess]:
    """Like `run_python`, after the repairs named in `keep` were made and no other."""

    def run(source: str, keep: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        skip = ','.join(spec.name for spec in compat.specs() if spec.name not in keep)
        return run_python(ONLY_REPAIRS + source, skip)

    return run
