"""What is packed, and what the model index lists."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import modelindex.load_model_index
import pytest
import yaml

import razor_ext

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_model_index_lists_every_metafile():
    listed = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']
    there = sorted(path.relative_to(ROOT).as_posix()
                   for path in (ROOT / 'configs').rglob('metafile.yml'))
    assert listed == there


def test_metafiles_say_what_was_measured_of_which_config(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    index = modelindex.load_model_index.load('model-index.yml')
    index.build_models_with_collections()
    assert len(index.models) > 8
    for model in index.models:
        assert (ROOT / model.config).is_file(), model.config
        assert Path(model.config).stem == model.name
        assert model.results and all(result.metrics for result in model.results)


@pytest.fixture(scope='module')
def source(tmp_path_factory) -> Path:
    """A copy of what git would check out, so that building leaves the tree as it is."""
    folder = tmp_path_factory.mktemp('source') / 'razor_ext_source'
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(
        '.venv*', '.git', 'work_dirs', 'tests', '__pycache__', '*.egg-info', '.mim', 'build',
        'data', '.hypothesis', '.*_cache'))
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory) -> Path:
    """A wheel built from the source distribution, as an installation from an index would."""
    out = tmp_path_factory.mktemp('dist')
    run(sys.executable, 'setup.py', '-q', 'sdist', '-d', str(out), cwd=source)
    packed, = out.glob('*.tar.gz')
    run(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation',
        '-w', str(out), str(packed), cwd=out)
    built, = out.glob('*.whl')
    return built


@pytest.mark.slow
def test_wheel_has_the_mim_extension(wheel, source):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ('tools', 'configs', 'requirements'):
        for path in (source / folder).rglob('*'):
            if path.is_file():
                assert f'razor_ext/.mim/{path.relative_to(source).as_posix()}' in names
    assert 'razor_ext/.mim/model-index.yml' in names
    modules = {path.relative_to(source).as_posix() for path in (source / 'razor_ext').rglob('*.py')}
    assert modules <= names
    assert not [name for name in names if name.startswith('tests/') or '__pycache__' in name]


@pytest.mark.slow
def test_wheel_metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name, = (name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        metadata = Parser().parsestr(archive.read(name).decode())
        points = archive.read(name.replace('METADATA', 'entry_points.txt')).decode()
    assert points.split('\n')[:5] == [
        '[razor_ext.families]', 'classification = razor_ext.classification.family:FAMILY',
        'detection = razor_ext.detection.family:FAMILY', 'gait = razor_ext.gait.family:FAMILY',
        'pose = razor_ext.pose.family:FAMILY']
    assert metadata['Version'] == razor_ext.__version__
    assert set(metadata.get_all('Provides-Extra')) == {
        'all', 'classification', 'tests', 'optional', 'mim'}
    wanted = metadata.get_all('Requires-Dist')
    assert 'numpy<2' in wanted
    assert any(one.startswith('mmrazor==1.0.0') and 'extra == "mim"' in one for one in wanted)
    assert not any('torchvision' in one for one in wanted)


@pytest.mark.slow
def test_installed_wheel_checks_its_environment(wheel, tmp_path):
    target = tmp_path / 'site'
    run(sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--target', str(target),
        str(wheel), cwd=tmp_path)
    printed = run(sys.executable, '-c', 'import razor_ext, sys; print(razor_ext.__file__)',
                  cwd=tmp_path, PYTHONPATH=str(target))
    assert printed.strip().startswith(str(target))
    printed = run(sys.executable, '-m', 'razor_ext.check_env', cwd=tmp_path,
                  PYTHONPATH=str(target))
    assert 'Everything required is there' in printed
