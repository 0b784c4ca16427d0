"""A model family in a package outside razor_ext, found by its entry point, is compressed."""
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .site import declare, write_toy_site

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder that holds the toy family as an installation would leave it."""
    site = tmp_path / 'site'
    write_toy_site(site)
    return site


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=site, capture_output=True, text=True, check=False,
        env={**os.environ, 'PYTHONPATH': f'{site}{os.pathsep}{ROOT}', 'OMP_NUM_THREADS': '1'})


def test_it_is_analysed_pruned_quantized_and_rebuilt(site, tmp_path):
    done = python(site, str(HERE / 'toy_run.py'), str(tmp_path / 'work'))
    assert done.returncode == 0, done.stderr[-3000:]
    line, = (line for line in done.stdout.splitlines() if line.startswith('RESULT '))
    result = json.loads(line.removeprefix('RESULT '))
    assert sorted(result['units'].values()) == [8, 10, 12]
    assert set(result['structure']) == set(result['units'])
    assert result['macs'] <= 0.5
    kept = {result['units'][name]: count for name, count in result['structure'].items()}
    assert result['weight'] == [8, kept[12], kept[10]] and result['out_channels'] == kept[10]
    assert result['quantized'] == ['conv1', 'conv2', 'head', 'mix']
    assert result['difference'] < 1e-5


def test_its_package_may_be_imported_first_and_a_broken_one_is_reported(site):
    declare(site, 'broken-family', 'broken = no_such_family:FAMILY')
    done = python(site, '-c', (
        'import toy_family.models\n'
        'from razor_ext.engine.families import load_families\n'
        'import json; print(json.dumps({one.name: one.state for one in load_families()}))\n'
        'from razor_ext.registry import MODELS\n'
        'assert MODELS.get("ToyRegressor") is toy_family.models.ToyRegressor'))
    assert done.returncode == 0, done.stderr[-3000:]
    states = json.loads(done.stdout.splitlines()[-1])
    assert states.items() >= {
        'broken': 'broken', 'detection': 'loaded', 'gait': 'loaded', 'pose': 'loaded',
        'toy': 'loaded'}.items()
    assert 'broken = no_such_family:FAMILY' in done.stderr
    assert 'Repair or uninstall the distribution' in done.stderr
