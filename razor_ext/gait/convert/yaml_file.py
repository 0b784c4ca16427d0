"""Reading a YAML file that may be broken or hostile."""
from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from .section import SettingError, shown

#: Bounds of a file; the largest official one has 6 kB, 190 values and is 5 deep.
_BYTES, _VALUES, _DEPTH = 200_000, 5_000, 20


class _Loader(yaml.SafeLoader):
    """Plain values only; a key that stands twice in a mapping is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f'the key {shown(key.value)} stands twice', key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_settings(path: str | Path) -> Any:
    """Read the content of a YAML file.

    Args:
        path (str | Path): The file, UTF-8.

    Returns:
        Any: What it holds: plain values, lists and mappings.

    Raises:
        SettingError: If it cannot be read, is no YAML, or too large or too deep for settings.
    """
    path = Path(path)
    try:
        with open(path, 'rb') as file:
            raw = file.read(_BYTES + 1)
    except (OSError, ValueError) as error:
        raise SettingError(f'{path!s:.300}: cannot be read: '
                           f'{getattr(error, "strerror", None) or error!s:.200}') from error
    if len(raw) > _BYTES:
        raise SettingError(f'{path}: more than {_BYTES} bytes; this is no file of settings')
    try:
        text = raw.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise SettingError(f'{path}: no UTF-8: byte {raw[error.start]:#04x} at {error.start}; save '
                           'the file as UTF-8') from error
    try:
        _check_depth(text, path)
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise SettingError(f'{path}: no YAML: {" ".join(str(error).split())[:500]}') from error
    except (ValueError, TypeError, ArithmeticError, AttributeError, LookupError) as error:
        # constructors of numbers, dates and bytes raise these for values that are none
        raise SettingError(f'{path}: a value cannot be read: {str(error)[:200]}') from error
    _check_size(content, path)
    return content


def _check_depth(text: str, path: Path) -> None:
    """Bound the nesting before anything recurses over it."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > _DEPTH:
            raise SettingError(f'{path}: nested deeper than {_DEPTH}; this is no file of settings')


def _check_size(content: object, path: Path) -> None:
    """Bound the values, counting what an alias repeats as often as it stands there."""
    left, count = [(content, 0)], 0
    while left:
        value, depth = left.pop()
        count += 1
        if count > _VALUES or depth > _DEPTH:
            raise SettingError(f'{path}: more than {_VALUES} values, or aliases deeper than '
                               f'{_DEPTH}; this is no file of settings')
        if isinstance(value, dict):
            left += [(v, depth + 1) for v in value.values()]
        elif isinstance(value, (list, tuple, set)):
            left += [(v, depth + 1) for v in value]
