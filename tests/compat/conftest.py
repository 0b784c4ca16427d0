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

# Makes the packages in Hide.hidden absent.
HIDE = '''
import importlib.abc, importlib.util, sys

class Hide(importlib.abc.MetaPathFinder):
    hidden = set()

    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in self.hidden:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition('.')[0] in Hide.hidden else find_spec(name, package))
sys.meta_path.insert(0, Hide())
'''

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
    """Return a function that runs Python source, some packages hidden, and returns the process."""

    def run(source: str, skip: str = '', hidden: tuple[str, ...] = (),
            **environment: str) -> subprocess.CompletedProcess:
        source = f'{HIDE}\nHide.hidden = set({hidden!r})\n{source}'
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

    def run(source: str, keep: tuple[str, ...] = (),
            hidden: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
        skip = ','.join(spec.name for spec in compat.specs() if spec.name not in keep)
        return run_python(ONLY_REPAIRS + source, skip, hidden)

    return run
