"""The messages of docs/troubleshooting.md are messages of this package."""
from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from .pages import ROOT

TEXT = (ROOT / 'docs' / 'troubleshooting.md').read_text(encoding='utf-8')
ROWS = re.findall(r'^\| (`.*?) \|', TEXT, re.MULTILINE)


@cache
def texts() -> str:
    """Every text of the sources, those in parts joined as Python joins them."""
    found = [(ROOT / 'tools' / 'setup_env.sh').read_text(encoding='utf-8')]
    for path in [*(ROOT / 'razor_ext').glob('**/*.py'), *(ROOT / 'tools').glob('**/*.py')]:
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.JoinedStr):
                found.append(''.join(part.value if isinstance(part, ast.Constant) else '{}'
                                     for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return '\n'.join(found)


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize('row', ROWS)
def test_message_is_in_the_sources(row: str) -> None:
    for part in re.findall('`([^`]+)`', row):
        assert part in texts(), f'no message has {part!r}; correct docs/troubleshooting.md'
