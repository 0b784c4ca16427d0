"""Commands of the pages name programs, files and options that there are."""
from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

from .pages import PAGES, ROOT, blocks, name

#: Programs of a block print their words instead of running; the shell does the rest, so that
#: variables, braces and continued lines are as a user's shell takes them.
RECORD = r"""
set -f
NAME=rtmpose-s_8xb256-420e_coco-256x192  # of an earlier block of its page
record() { printf '%s\037' "$@"; printf '\n'; }
for program in python pip bash tools/dist_train.sh tools/dist_test.sh .venv/bin/python \
    .venv/bin/pre-commit
do eval "$program() { record $program \"\$@\"; }"; done
"""
#: First folders of what has to be there; a word with a name to fill in is not looked for.
TREES = ('configs', 'tools', 'razor_ext', 'tests', 'requirements', 'docs')
TO_FILL_IN = re.compile(r'[A-Z]{3,}(_[A-Z]+)*|\.\.\.|[*<>{}$\[\]]|mine')

BASH = [pytest.param(block, id=f'{name(page)}-{number}') for page in PAGES
        for number, block in enumerate(blocks(page, 'bash', 'shell'))]


def commands(block: str) -> list[list[str]]:
    """Return the words of each command of a block, as bash splits them."""
    done = subprocess.run(['bash', '-c', RECORD + block], capture_output=True, text=True,
                          check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return [line.split('\x1f')[:-1] for line in done.stdout.splitlines() if '\x1f' in line]


@cache
def options_in(path: Path) -> frozenset[str]:
    """Return what a source declares as options; a part in braces stands for any word."""
    return frozenset(re.findall(r"'(--[a-z{][\w{}-]*)'", path.read_text(encoding='utf-8')))


def has_option(program: Path, option: str) -> bool:
    """Return whether a program, or what it shares with others in the package, has an option."""
    files = [program, *(ROOT / 'razor_ext').glob('**/*.py')]
    if program.suffix == '.sh':
        files += [ROOT / 'tools' / 'train.py', ROOT / 'tools' / 'test.py']
        if re.search(rf'{option}\b', program.read_text(encoding='utf-8')):
            return True
    declared = set().union(*map(options_in, files))
    return any(re.fullmatch(re.sub(r'\\\{.*?\\\}', r'\\w+', re.escape(one)), option)
               for one in declared)


def program_of(words: list[str]) -> Path | None:
    """Return the program of this tree that a command starts, None if it starts none."""
    for word in words[:2]:
        if word.startswith(('tools/', './tools/')):
            return ROOT / word
    return None


@pytest.mark.parametrize('block', BASH)
def test_what_a_command_names_is_there(block: str) -> None:
    found = commands(block)
    assert found, 'no command'
    for words in found:
        words = [word.strip('[]') for word in words]
        program = program_of(words)
        for word in words:
            path = word.partition('=')[2] or word
            if path.split('/')[0] in TREES and '/' in path and not TO_FILL_IN.search(path):
                assert (ROOT / path.partition('::')[0]).exists(), path
        if program is not None:
            assert program.is_file(), program
            for option in (word.partition('=')[0] for word in words if word.startswith('--')):
                assert has_option(program, option), f'{program.name} has no option {option}'


def test_an_option_that_is_gone_is_seen() -> None:
    (words, ) = commands('python tools/compress.py CONFIG \\\n    --shrink=3')
    assert words == ['python', 'tools/compress.py', 'CONFIG', '--shrink=3']
    assert not has_option(ROOT / 'tools' / 'compress.py', '--shrink')
    assert has_option(ROOT / 'tools' / 'compress.py', '--train-images')
