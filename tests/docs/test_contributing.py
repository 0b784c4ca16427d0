"""The worked examples of CONTRIBUTING.md run as they are written."""
from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from razor_ext.check_env import pinned_version, read_requirements
from razor_ext.graph.rules import RULES
from tests.families.site import declare, write_toy_site

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
SECTIONS = {match['title']: match['body'] for match in re.finditer(
    r'<!-- begin: (?P<title>[^>]+) -->\n(?P<body>.*?)<!-- end: (?P=title) -->', TEXT, re.DOTALL)}
PYTHON = re.compile(r'```python\n(.*?)```', re.DOTALL)
FILE = re.compile(r'# file: (\S+)\n')


def test_every_section_is_delimited() -> None:
    assert set(SECTIONS) == {'add an algorithm', 'add a model family', 'add an operator rule'}
    assert all(PYTHON.search(body) for body in SECTIONS.values())


def blocks(title: str, folder: Path) -> str:
    """Write the files that a section shows into a folder; returns the rest of its code."""
    code = []
    for block in PYTHON.findall(SECTIONS[title]):
        named = FILE.match(block)
        if named:
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block, encoding='utf-8')
        else:
            code.append(block)
    return '\n'.join(code)


def test_add_an_operator_rule(tmp_path: Path) -> None:
    """What the section registers in the graph is taken back."""
    before = dict(RULES)
    code = blocks('add an operator rule', tmp_path)
    try:
        exec(compile(code, 'CONTRIBUTING.md', 'exec'), {'__name__': 'contributing'})
    finally:
        RULES.clear()
        RULES.update(before)


def run_alone(code: str, folder: Path) -> None:
    """Run code in a process of its own, in a folder of packages that has the shipped configs."""
    (folder / 'configs').symlink_to(ROOT / 'configs')
    path = os.pathsep.join(map(str, (folder, ROOT, ROOT / 'tests' / 'helpers')))
    (folder / 'run.py').write_text(code, encoding='utf-8')
    done = subprocess.run(
        [sys.executable, 'run.py'], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, 'PYTHONPATH': path, 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr[-3000:]


def test_add_an_algorithm(tmp_path: Path) -> None:
    write_toy_site(tmp_path)
    run_alone(blocks('add an algorithm', tmp_path), tmp_path)


def test_add_a_model_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's other modules are those of tests/families; its setup.py is what declares it."""
    write_toy_site(tmp_path)
    shutil.rmtree(tmp_path / 'toy-family-1.0.dist-info')
    code = blocks('add a model family', tmp_path)
    setups: list[dict] = []
    monkeypatch.setattr('setuptools.setup', lambda **options: setups.append(options))
    runpy.run_path(str(tmp_path / 'setup.py'))
    (group, (entry_point, )), = setups[0]['entry_points'].items()
    assert group == 'razor_ext.families'
    declare(tmp_path, setups[0]['name'], entry_point)
    run_alone(code, tmp_path)


def test_links_lead_somewhere() -> None:
    for name in ('CONTRIBUTING.md', 'CHANGELOG.md', 'README.md', 'docs/glossary.md'):
        text = (ROOT / name).read_text(encoding='utf-8')
        for target in re.findall(r'\]\((?!https?://)([^)#]+)', text):
            assert (ROOT / name).parent.joinpath(target).exists(), f'{name}: {target}'


def test_hooks_are_of_the_tested_version() -> None:
    """The hooks of a commit and the style check of the tests agree."""
    config = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text(encoding='utf-8'))
    revisions = {repo['repo'].rpartition('/')[2]: repo.get('rev') for repo in config['repos']}
    pins = {one.name: pinned_version(one)
            for one in read_requirements(ROOT / 'requirements' / 'constraints.txt')}
    if 'ruff' not in pins:
        pytest.skip('ruff is pinned for the tested Python only')
    assert revisions['ruff-pre-commit'] == f'v{pins["ruff"]}'
