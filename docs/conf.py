"""Configuration of the documentation's pages: `sphinx-build -W docs work_dirs/site`."""
from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

import razor_ext

project = 'razor_ext'
author = 'the razor_ext contributors'
release = razor_ext.__version__
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx_copybutton']
myst_enable_extensions = ['colon_fence']
myst_heading_anchors = 4
html_theme = 'furo'
html_title = f'razor_ext {release}'
html_copy_source = False
copybutton_prompt_text = '$ '
autodoc_typehints = 'description'
autodoc_member_order = 'bysource'
# Tables of names and shapes are not code of any language.
highlight_language = 'none'
# The table of the zoo begins at the third level, below the title.
suppress_warnings = ['myst.header']

_OUTSIDE = re.compile(
    r'\[([^\]]+)\]\('
    r'(\.\./[^)#]+|[A-Z]+\.md|(?:tests|configs|razor_ext|requirements)/[^)#]+)(#[^)]*)?\)')


def name_files_outside(app: Sphinx, docname: str, source: list[str]) -> None:
    """Where a page links to a file of the tree that is no page, name the file instead."""
    source[0] = _OUTSIDE.sub(lambda link: f'{link[1]} (`{link[2].removeprefix("../")}`)', source[0])


def name_files_outside_included(app: Sphinx, path: Path, docname: str, source: list[str]) -> None:
    name_files_outside(app, docname, source)


def setup(app: Sphinx) -> None:
    app.connect('source-read', name_files_outside)
    app.connect('include-read', name_files_outside_included)
