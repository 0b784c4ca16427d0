"""JSON files that others may have written: read within bounds, strictly."""
from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

#: Deepest nesting of any file of this package is 7.
MAX_DEPTH = 64
MAX_BYTES = 256 << 20
_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class JsonError(ValueError):
    """A file that is no such JSON; the message says what is wrong, not which file it is."""


def read_json(path: str | os.PathLike, max_bytes: int = MAX_BYTES) -> Any:
    """Read a JSON file, its size and depth checked before it is parsed.

    Args:
        path: the file.
        max_bytes: most bytes of the file.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: it does not exist.
        JsonError: it is too large or too deep, is no JSON in UTF-8, repeats a key, or holds a
            number that is not finite.
    """
    size = Path(path).stat().st_size
    if size > max_bytes:
        raise JsonError(f'{size:,} bytes are more than the {max_bytes:,} that such a file may have')
    return parse_json(Path(path).read_bytes())


def parse_json(content: bytes) -> Any:
    """Parse JSON as `read_json` does.

    Args:
        content: the bytes of a file.

    Raises:
        JsonError: see `read_json`.
    """
    depth = 0
    for token in _TOKENS.finditer(content):
        first = token.group()[:1]
        depth += (first in b'[{') - (first in b']}')
        if depth > MAX_DEPTH:
            raise JsonError(f'it is nested deeper than {MAX_DEPTH} levels')
    try:
        return json.loads(content.decode('utf-8-sig'), object_pairs_hook=_unique,
                          parse_constant=_constant, parse_float=_finite, parse_int=_integer)
    except JsonError:
        raise
    except ValueError as error:  # no JSON, or no UTF-8
        raise JsonError(str(error)[:200]) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError(f'the key {twice!r:.80} stands there twice')
    return found


def _constant(text: str) -> Any:
    raise JsonError(f'the number {text} is not finite')


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonError(f'the number {text:.40} is not finite')
    return number


def _integer(text: str) -> int:
    if len(text) > 40:
        raise JsonError(f'an integer of {len(text)} digits, {text:.20}..., is no number of such a '
                        'file')
    return int(text)
