"""tools/setup_env.sh and tools/test.sh, run with an interpreter that only writes down its calls."""
from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Stands for python: logs its arguments, copies itself where an environment is to be created, and
# fails where FAIL_ON is part of the call.
FAKE_PYTHON = '''#!/usr/bin/env bash
echo "$*" >>"$CALLS"
case "$*" in
    -V) echo Python 3.11.0 ;;
    "-c import sys"*"(3, 9)"*) exit "${VERSION_STATUS:-0}" ;;
    "-c import sys"*"(3, 10)"*) exit "${IS_OLD:-0}" ;;
    "-c import sys"*"(3, 12)"*) [ -n "${IS_NEW:-}" ]; exit ;;
    "-m venv --clear "*) mkdir -p "${@: -1}/bin" && cp "$0" "${@: -1}/bin/python" ;;
    *" -r "*) for file in "$@"; do [[ $file == */constraints.txt ]] || cat "$file"; done \\
              >>"$CALLS" 2>/dev/null ;;
esac
if [ -n "${FAIL_ON:-}" ] && [[ "$*" == *"$FAIL_ON"* ]]; then echo "no $FAIL_ON today"; exit 1; fi
exit 0
'''


class Sandbox:
    """A copy of what the scripts need, and a fake interpreter."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / 'project'
        for name in ('tools', 'requirements'):
            shutil.copytree(ROOT / name, self.root / name)
        shutil.copy(ROOT / 'setup.py', self.root)
        self.calls_file = folder / 'calls'
        self.bin = folder / 'bin'
        self.bin.mkdir()
        self.python = self.add_command('python-fake', FAKE_PYTHON)

    def add_command(self, name: str, content: str) -> Path:
        path = self.bin / name
        path.write_text(content)
        path.chmod(0o755)
        return path

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess:
        self.calls_file.write_text('')
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith('RAZOR_')}
        return subprocess.run(
            ['bash', *command], cwd=self.root, capture_output=True, text=True, check=False,
            env={**clean, 'PATH': f'{self.bin}{os.pathsep}{os.environ["PATH"]}',
                 'PYTHON': str(self.python), 'CALLS': str(self.calls_file), **environment})

    def setup(self, **environment: str) -> subprocess.CompletedProcess:
        return self.run('tools/setup_env.sh', **environment)

    @property
    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()

    def called(self, text: str) -> bool:
        return any(text in call for call in self.calls)


@pytest.fixture
def sandbox(tmp_path):
    sandbox = Sandbox(tmp_path)
    sandbox.add_command('nvidia-smi', '#!/bin/sh\nexit 1\n')
    return sandbox


def test_from_nothing_then_stamped(sandbox):
    first = sandbox.setup()
    assert first.returncode == 0, first.stderr
    for text in ('-m venv --clear', 'torch==2.13.0', 'mmpose==1.3.2', '--no-build-isolation -e'):
        assert sandbox.called(text), text
    torch_call = next(i for i, call in enumerate(sandbox.calls) if 'torch.txt' in call)
    assert not any('mmpose==' in call for call in sandbox.calls[:torch_call])
    assert (sandbox.root / '.venv' / 'razor_ext.stamp').exists()
    second = sandbox.setup()
    assert second.returncode == 0
    assert second.stdout == ''
    assert sandbox.calls == ['-V']


def test_changed_requirements_are_installed(sandbox):
    sandbox.setup()
    with (sandbox.root / 'requirements' / 'runtime.txt').open('a') as file:
        file.write('einops\n')
    assert sandbox.setup().returncode == 0
    assert sandbox.called('einops')
    assert not sandbox.called('-m venv')


def test_interrupted_installation_is_completed(sandbox):
    failed = sandbox.setup(FAIL_ON='mminstall')
    assert failed.returncode
    assert 'no mminstall today' in failed.stderr
    assert 'OpenMMLab packages' in failed.stderr
    assert not (sandbox.root / '.venv' / 'razor_ext.stamp').exists()
    assert sandbox.setup().returncode == 0
    assert sandbox.called('mmpose==1.3.2')


def test_half_created_environment_is_created_again(sandbox):
    (sandbox.root / '.venv' / 'bin').mkdir(parents=True)
    assert sandbox.setup().returncode == 0
    assert sandbox.called('-m venv --clear')


def test_xtcocotools_is_compiled_where_there_is_no_wheel(sandbox):
    assert sandbox.setup().returncode == 0
    assert not sandbox.called('--no-build-isolation -c')
    shutil.rmtree(sandbox.root / '.venv')
    failed = sandbox.setup(IS_NEW='1', CC='no-such-compiler')
    assert failed.returncode
    assert 'install a C compiler, or Python 3.11' in failed.stderr
    sandbox.add_command('some-compiler', '')
    assert sandbox.setup(IS_NEW='1', CC='some-compiler').returncode == 0
    assert sandbox.called('--no-build-isolation -c')


def test_no_torchvision_and_no_second_torch(sandbox):
    sandbox.setup()
    assert not any(call.startswith(('torchvision', 'torch>')) for call in sandbox.calls)
    timm = next(call for call in sandbox.calls if 'tests_nodeps.txt' in call)
    assert '--no-deps' in timm


def test_gpu_machine_takes_no_cpu_build(sandbox):
    sandbox.add_command('nvidia-smi', '#!/bin/sh\nexit 0\n')
    assert sandbox.setup().returncode == 0
    assert sandbox.called('torch===2.13.0')
    assert sandbox.called('- gpu')


def test_torch_that_cannot_use_the_gpu_stops_the_setup(sandbox):
    sandbox.add_command('nvidia-smi', '#!/bin/sh\nexit 0\n')
    failed = sandbox.setup(FAIL_ON='- gpu')
    assert failed.returncode
    assert 'checking torch' in failed.stderr


def test_users_own_torch_is_kept(sandbox):
    assert sandbox.setup(RAZOR_KEEP_TORCH='1').returncode == 0
    assert not sandbox.called('torch==')


def test_oldest_torch(sandbox):
    assert sandbox.setup(RAZOR_TORCH='2.1').returncode == 0
    assert (sandbox.root / '.venv-torch21' / 'razor_ext.stamp').exists()
    assert sandbox.called('torch==2.1.2')
    assert not sandbox.called('torch==2.13.0;')


@pytest.mark.parametrize(('environment', 'words'), [
    ({'RAZOR_TORCH': '1.13'}, 'RAZOR_TORCH=1.13 is not known'),
    ({'VERSION_STATUS': '1'}, 'Python 3.9 to 3.12 is needed'),
])
def test_errors_name_the_way_out(sandbox, environment, words):
    failed = sandbox.setup(**environment)
    assert failed.returncode
    assert words in failed.stderr


@pytest.mark.parametrize('relative', [True, False])
def test_other_place(sandbox, relative):
    place = sandbox.root / 'elsewhere'
    assert sandbox.setup(RAZOR_VENV='elsewhere' if relative else str(place)).returncode == 0
    assert (place / 'razor_ext.stamp').exists()
    assert sandbox.called(f'-m venv --clear {place}')
    assert not (sandbox.root / '.venv').exists()


@pytest.mark.parametrize(('arguments', 'expected'), [
    ((), ' -m not slow'),
    (('--slow',), ''),
    (('--slow', 'tests/test_x.py', '-k', 'a b'), ' tests/test_x.py -k a b'),
    (('-m', 'smoke'), ' -m not slow -m smoke'),
])
def test_test_script(sandbox, arguments, expected):
    result = sandbox.run('tools/test.sh', *arguments)
    assert result.returncode == 0, result.stderr
    steps = [call for call in sandbox.calls if not call.startswith('-c ')]
    assert steps[-3:] == ['-m ruff check .', '-m mypy',
                          f'-m pytest -n 2 --dist loadfile{expected}']


@pytest.mark.parametrize('environment', [{'RAZOR_TORCH': '2.1'}, {'IS_OLD': '1'}])
def test_types_are_checked_on_the_newest_torch_and_python(sandbox, environment):
    assert sandbox.run('tools/test.sh', **environment).returncode == 0
    assert sandbox.called('-m pytest') and not sandbox.called('-m mypy')


@pytest.mark.parametrize('step', ['-m ruff', '-m mypy', '-m pytest', '-m pip install'])
def test_test_script_fails_with_its_steps(sandbox, step):
    assert sandbox.run('tools/test.sh', FAIL_ON=step).returncode
    assert sandbox.called('-m pytest') == (step != '-m pip install')


def test_nothing_names_a_package_registry():
    written = [*(ROOT / 'tools').glob('*.sh'), *(ROOT / 'requirements').iterdir(),
               ROOT / '.ci' / 'run', ROOT / 'setup.py', ROOT / 'pyproject.toml']
    for path in written:
        assert '://' not in path.read_text(), path
