"""Options of the command line that would change nothing are errors."""
from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from mmengine.config import Config

#: How alike a section of an option and one of the config are where the option is a misprint.
SIMILARITY = 0.75
#: Paths that a message names at most.
MAX_PATHS = 4


class UnreadKeyError(ValueError):
    """A config key that nothing reads."""


def check_option(cfg: Config, option: str, known: Collection[str], assigned: Collection[str]
                 ) -> None:
    """Refuse an option that would change nothing.

    Args:
        cfg: the loaded config.
        option: dotted path of `--cfg-options`.
        known: top-level keys that the Runner or a tool reads.
        assigned: top-level names that the files of the config assign.

    Raises:
        UnreadKeyError: names the option and the path to set instead.
    """
    top = option.split('.')[0]
    if top in known:
        _check_sections(cfg, option)
    elif top in assigned:
        raise UnreadKeyError(_copied(cfg, option, known))
    else:
        close = difflib.get_close_matches(top, sorted({*known, *assigned}), n=1)
        hint = f'did you mean {close[0]!r}?' if close else 'remove it'
        raise UnreadKeyError(f'--cfg-options {option}=...: nothing reads the key {top!r}; {hint}')


def _check_sections(cfg: Config, option: str) -> None:
    """Refuse a section that does not exist where one of nearly its name does."""
    parts = option.split('.')
    node: Any = cfg
    for depth, part in enumerate(parts[:-1]):
        child = _child(node, part)
        if child is None:
            names = list(node.keys()) if isinstance(node, (dict, Config)) else []
            close = difflib.get_close_matches(part, names, n=1, cutoff=SIMILARITY)
            if close and depth:
                meant = '.'.join([*parts[:depth], close[0], *parts[depth + 1:]])
                raise UnreadKeyError(f'--cfg-options {option}=...: the config has no '
                                     f'{".".join(parts[:depth + 1])!r}; did you mean {meant!r}?')
            return
        node = child


def _child(node: Any, part: str) -> Any:
    if isinstance(node, (dict, Config)):
        return node.get(part)
    if isinstance(node, (list, tuple)) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    return None


def _copied(cfg: Config, option: str, known: Collection[str]) -> str:
    """Say where the value that an option would change has been copied to."""
    parts = option.split('.')
    node: Any = cfg
    for part in parts:
        node = _child(node, part)
    message = (f'--cfg-options {option}=...: the config has used {parts[0]!r} when it was loaded, '
               'so that the option would change nothing; ')
    paths = [] if node is None else _equal_paths(cfg, node, parts, known)
    return message + (f'set {" or ".join(paths)} instead' if paths else
                      'set what the config makes of it instead, or change the file')


def _equal_paths(cfg: Config, value: Any, parts: list[str], known: Collection[str]) -> list[str]:
    """Return the paths below known keys where a value stands, those that end alike first."""
    scored = [(_common_end(path, parts), path) for key in cfg if key in known
              for path, found in _walk(cfg[key], [key])
              if type(found) is type(value) and found == value]
    best = max((score for score, _ in scored), default=0)
    return ['.'.join(path) for score, path in scored if score == best][:MAX_PATHS]


def _common_end(left: list[str], right: list[str]) -> int:
    count = 0
    for one, other in zip(reversed(left), reversed(right)):
        if one != other:
            break
        count += 1
    return count


def _walk(node: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    yield path, node
    if isinstance(node, dict):
        pairs = list(node.items())
    elif isinstance(node, (list, tuple)):
        pairs = [(str(index), child) for index, child in enumerate(node)]
    else:
        return
    for key, child in pairs:
        yield from _walk(child, [*path, str(key)])
