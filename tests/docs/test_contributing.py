"""The worked examples of CONTRIBUTING.md run as they are written."""
from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from razor_ext.check_env import pinned_version, read_requirements
from razor_ext.graph.rules import RULES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
SECTIONS = {match['title']: match['body'] for match in re.finditer(
    r'<!-- begin: (?P<title>[^>]+) -->\n(?P<body>.*?)<!-- end: (?P=title) -->', TEXT, re.DOTALL)}
PYTHON = re.compile(r'```python\n(.*?)```', re.DOTALL)
FILE = re.compile(r'# file: (\S+)\n')


def test_every_section_is_delimited() -> None:
    assert set(SECTIONS) == {'add an algorithm', 'add a model family', 'add an operator rule'}
    assert PYTHON.search(SECTIONS['add an operator rule'])


@pytest.mark.parametrize('title', SECTIONS)
def test_worked_example(title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the blocks in one namespace; what they register in the graph is taken back."""
    before = dict(RULES)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {'__name__': 'contributing'}
    try:
        for block in PYTHON.findall(SECTIONS[title]):
            named = FILE.match(block)
            if named:
                path = tmp_path / named[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block, encoding='utf-8')
            else:
                exec(compile(block, f'CONTRIBUTING.md, {title}', 'exec'), namespace)
    finally:
        RULES.clear()
        RULES.update(before)


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
