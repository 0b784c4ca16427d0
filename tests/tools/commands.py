"""Runs the project's tools as a user does, as commands."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where the modules are that configs of these tests import.
FOLDERS = (ROOT, ROOT / 'tests' / 'helpers', ROOT / 'tests' / 'tools')


def run(*command: object, fails: bool = False) -> str:
    """Run a command in the project root, which must succeed or fail, and return what it printed."""
    environment = dict(os.environ, PYTHON=sys.executable, OMP_NUM_THREADS='1',
                       PYTHONPATH=os.pathsep.join(map(str, FOLDERS)))
    done = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert (done.returncode != 0) == fails, done.stdout[-4000:]
    return done.stdout
