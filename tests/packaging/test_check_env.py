"""The environment check: findings, commands, exit code."""
from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from razor_ext import check_env
from razor_ext.check_env import GOOD, MISSING, OTHER, UNSUITABLE, examine
from razor_ext.compat import Repair
from razor_ext.compat.repair import NOT_IMPORTABLE


@pytest.fixture
def versions(monkeypatch):
    """Make exactly the given distributions appear installed."""
    installed: dict[str, str] = {}

    def version(name: str) -> str:
        if name not in installed:
            raise check_env.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(check_env.metadata, 'version', version)
    return installed


@pytest.mark.smoke
@pytest.mark.parametrize(('wanted', 'found', 'tested', 'state', 'command'), [
    ('numpy<2', '1.26.4', '1.26.4', GOOD, ''),
    ('numpy<2', '1.25.0', '1.26.4', OTHER, 'pip install "numpy==1.26.4"'),
    ('numpy<2', '2.1.0', '1.26.4', UNSUITABLE, 'pip install "numpy==1.26.4"'),
    ('numpy<2', None, '1.26.4', MISSING, 'pip install "numpy==1.26.4"'),
    ('numpy<2', None, None, MISSING, 'pip install "numpy<2"'),
    ('torch>=2.1', '2.13.0+cpu', '2.13.0', GOOD, ''),
    ('torch>=2.1', '2.0.1', '2.13.0', UNSUITABLE, 'pip install "torch==2.13.0"'),
    ('timm==1.0.31', '1.0.30', None, OTHER, 'pip install "timm==1.0.31"'),
    ('tqdm', '4.0', None, GOOD, ''),
])
def test_examine(versions, wanted, found, tested, state, command):
    requirement = Requirement(wanted)
    if found:
        versions[requirement.name] = found
    finding = examine(requirement, True, tested)
    assert (finding.state, finding.command) == (state, command)


def test_alternatives_and_options(versions):
    versions['mmcv'] = '2.1.0'
    assert examine(Requirement('mmcv-lite==2.1.0'), True, None).state == GOOD
    missing = examine(Requirement('mmpose==1.3.2'), True, None, '--no-deps ')
    assert missing.command == 'pip install --no-deps "mmpose==1.3.2"'


def test_requirement_files_are_read(tmp_path):
    path = tmp_path / 'some.txt'
    path.write_text('# a comment\n\ntorch>=2.1  # why\nold==1; python_version < "3"\n')
    assert [str(one) for one in check_env.read_requirements(path)] == ['torch>=2.1']


@pytest.mark.smoke
def test_this_environment_is_complete(capsys):
    assert check_env.main() == 0
    printed = capsys.readouterr().out
    assert 'Everything required is there' in printed
    assert 'mmrazor' in printed


def test_missing_package_fails_with_the_command(monkeypatch, capsys):
    found = check_env.installed_version
    monkeypatch.setattr(check_env, 'installed_version',
                        lambda name: None if name == 'mmpose' else found(name))
    monkeypatch.setenv('COLUMNS', '200')
    assert check_env.main() == 1
    printed = capsys.readouterr().out
    assert 'mmpose is missing: pip install --no-deps "mmpose==1.3.2"' in printed
    assert 'Everything required is there' not in printed


def test_missing_optional_package_does_not_fail(monkeypatch, capsys):
    found = check_env.installed_version
    monkeypatch.setattr(check_env, 'installed_version',
                        lambda name: None if name in ('timm', 'openvino') else found(name))
    assert check_env.main() == 0


def test_unimportable_package_fails(monkeypatch, capsys):
    broken = Repair('some-repair', 'mmpose', 'why', NOT_IMPORTABLE, 'no xtcocotools')
    monkeypatch.setattr(check_env.compat, 'apply', lambda: (broken,))
    monkeypatch.setenv('COLUMNS', '200')
    assert check_env.main() == 1
    assert 'mmpose cannot be imported: no xtcocotools' in capsys.readouterr().out
