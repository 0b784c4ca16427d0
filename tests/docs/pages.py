"""The pages of the documentation, and the blocks of code in them."""
from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = tuple(sorted([*ROOT.glob('docs/*.md'), ROOT / 'README.md', ROOT / 'CONTRIBUTING.md',
                      ROOT / 'SECURITY.md', ROOT / 'work_dirs' / 'README.md',
                      *ROOT.glob('configs/**/README.md')]))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    """Yield the code blocks of a page in some language, without their indentation."""
    text = page.read_text(encoding='utf-8')
    for match in re.finditer(r'^( *)```(\w+)\n(.*?)^\1```$', text, re.DOTALL | re.MULTILINE):
        if match[2] in languages:
            yield textwrap.dedent(match[3])


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))
