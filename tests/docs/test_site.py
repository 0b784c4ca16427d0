"""The pages build into a site without a warning: links, references and the table of contents."""
from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .pages import ROOT

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ('sphinx', 'myst_parser', 'furo')),
    reason='the generator of the site is installed on the tested Python only')


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('site')
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q', '-d', str(folder / 'trees'),
         'docs', str(folder / 'html')],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'})
    assert done.returncode == 0, done.stderr
    return folder / 'html'


def test_every_page_is_reached_from_the_first(site: Path) -> None:
    contents = (site / 'index.html').read_text(encoding='utf-8')
    pages = {path.stem for path in (ROOT / 'docs').glob('*.md')} - {'index'}
    assert pages <= set(re.findall(r'href="(\w+)\.html', contents))


def test_links_within_the_site_lead_somewhere(site: Path) -> None:
    pages = {path.name: path.read_text(encoding='utf-8') for path in site.glob('*.html')}
    for name, text in pages.items():
        for page, anchor in re.findall(r'href="([\w.]*\.html)?#([^"]+)"', text):
            assert f'id="{anchor}"' in pages[page or name], f'{name} -> {page}#{anchor}'


def test_the_public_functions_are_described(site: Path) -> None:
    text = (site / 'api.html').read_text(encoding='utf-8')
    for function in ('razor_ext.compress', 'razor_ext.graph.analyze'):
        assert f'id="{function}"' in text
