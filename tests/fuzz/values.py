"""Damage: values that cannot be in the places of a content, bytes that cannot be in a file."""
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

NESTED: list = []
for _ in range(90):
    NESTED = [NESTED]
ODD = (None, True, False, 0, -1, 1, 2, 3, 1 << 31, 1 << 63, 10 ** 30, 10 ** 300, 0.5, -0.0, 1e308,
       1e-320, float('nan'), float('inf'), '', 'x', 'x' * 3000, '\0', '../../x', '__class__', 'é',
       '\ud800', '1', '{', [], {}, [[]], [None], {'': 0}, [1] * 500, NESTED, [1e308, -1],
       {'type': 'os.system'}, {'__class__': 'x'}, [0, 0], (1 << 40), -(1 << 63))
PIECES = (b'', b'{', b'[', b'"', b'}', b']', b':', b',', b'\\', b'\0', b'\xff', b'null', b'1e999',
          b'NaN', b'-', b'9' * 50, b'9' * 5000, b'[' * 200, b'\xef\xbb\xbf', b'"a": 1, "a": 2,')
_ODD = st.sampled_from(ODD)


def places(content: Any, prefix: tuple = ()) -> Iterator[tuple]:
    """Yield every place of a content, as the keys that lead there."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield (*prefix, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*prefix, key))


def damaged(content: Any, most: int = 2) -> st.SearchStrategy[Any]:
    """Return a strategy for a content with one to `most` places replaced, removed or added to."""
    known = list(places(content))
    keys = sorted({key for place in known for key in place if isinstance(key, str)})

    @st.composite
    def draw_damaged(draw: Any) -> Any:
        changed = copy.deepcopy(content)
        for _ in range(draw(st.integers(1, most))):
            *parents, last = draw(st.sampled_from(known))
            action = draw(st.sampled_from(('replace', 'replace', 'replace', 'remove', 'add')))
            target = changed
            try:
                for key in parents:
                    target = target[key]
                if action == 'replace':
                    target[last] = draw(_ODD)
                elif action == 'remove':
                    del target[last]
                elif isinstance(target, dict):
                    target[draw(st.sampled_from((*keys, '', 'x' * 3000, '__init__')))] = draw(_ODD)
                else:
                    target.append(draw(_ODD))
            except (TypeError, KeyError, IndexError, AttributeError):
                continue  # an earlier change took the place away
        return changed

    return draw_damaged()


def damaged_bytes(raw: bytes, most: int = 3) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes of which some are replaced, removed or added to."""
    @st.composite
    def draw_bytes(draw: Any) -> bytes:
        changed = bytearray(raw)
        for _ in range(draw(st.integers(1, most))):
            place = draw(st.integers(0, len(changed)))
            piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)))
            changed[place:place + draw(st.integers(0, 6))] = piece
        return bytes(changed[:draw(st.integers(0, len(changed)))]
                     if draw(st.integers(0, 9)) == 0 else changed)

    return draw_bytes()


def damaged_json(content: Any, most: int = 2) -> st.SearchStrategy[bytes]:
    """Return a strategy for the bytes of JSON files that are damaged either way."""
    return st.one_of(damaged(content, most).map(lambda value: json.dumps(value).encode()),
                     damaged(content, most).map(lambda value: json.dumps(value).encode()),
                     damaged_bytes(json.dumps(content).encode()))
