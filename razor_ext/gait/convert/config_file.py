"""Writing a config that holds nothing but literals."""
from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from razor_ext.engine.atomic import atomic_write

from .section import SettingError, shown
from .settings import ConvertedSettings

#: Columns of a line.
_WIDTH = 98


def config_text(converted: ConvertedSettings, bases: list[str]) -> str:
    """The text of a config: assignments of literals to the names of its sections.

    Args:
        converted (ConvertedSettings): The config.
        bases (list[str]): Paths of the files it inherits.

    Raises:
        SettingError: If a value cannot stand in a config.
    """
    lines = ['"""A config made from an OpenGait YAML file by tools/gait/convert_config.py.',
             *(f'\n{_comment(note)}.' for note in converted.notes), '"""',
             f'_base_ = {_literal(bases, "_base_")}']
    for name, value in converted.config.items():
        if not name.isidentifier():
            raise SettingError(f'{shown(name)} is no name of a section')
        lines.append(f'{name} = {_literal(value, name)}')
    return '\n'.join(lines) + '\n'


def write_config(converted: ConvertedSettings, path: str | Path, base_folder: str | Path) -> None:
    """Write a config; nothing of it is executed.

    Args:
        converted (ConvertedSettings): The config.
        path (str | Path): File to write, ending in .py; it appears only when complete.
        base_folder (str | Path): Where `configs/gait/_base_` lies.

    Raises:
        SettingError: If the name does not end in .py, or a value cannot stand in a config.
    """
    path = Path(path)
    if path.suffix != '.py' or '.' in path.stem:
        raise SettingError(f'{path}: a config is a file NAME.py, without another dot')
    bases = [os.path.relpath(Path(base_folder, name).resolve(), path.parent.resolve())
             for name in converted.bases]
    text = config_text(converted, bases)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding='utf-8')


def _literal(value: object, where: str) -> str:
    _check(value, where)
    return _layout(value, len(where) + 3, 0)


def _layout(value: object, used: int, indent: int) -> str:
    """`repr` of a value, broken at its commas where a line would be too long."""
    text, inner = repr(value), indent + 4
    if not isinstance(value, (Mapping, list, tuple)) or not value or used + len(text) < _WIDTH:
        return text
    if isinstance(value, Mapping):
        entries = [f'{k!r}: {_layout(v, inner + len(repr(k)) + 2, inner)}'
                   for k, v in value.items()]
    else:
        entries = [_layout(v, inner, inner) for v in value]
    opening, closing = ('{', '}') if isinstance(value, Mapping) else ('[', ']')
    lines = [f'{" " * inner}{entry},' for entry in entries]
    return '\n'.join([opening, *lines, ' ' * indent + closing])


def _check(value: object, where: str) -> None:
    """Raise an error unless a value consists of what `repr` writes and Python reads back."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if type(key) is not str or not key.isidentifier():
                raise SettingError(f'{where}: {shown(key)} is no name of a setting')
            _check(inner, f'{where}.{key}')
    elif type(value) in (list, tuple):
        for inner in value:  # type: ignore[attr-defined]
            _check(inner, where)
    elif isinstance(value, str):
        _check_text(value, where)
    elif value is not None and not (
            type(value) in (bool, int) or (type(value) is float and math.isfinite(value))):
        raise SettingError(f'{where}={shown(value)} is no plain value')


def _check_text(value: str, where: str) -> None:
    # MMEngine fills in `{{...}}`, environment variables too, before it reads a config
    if type(value) is not str or not value.isprintable() or '{{' in value or '}}' in value:
        raise SettingError(f'{where}={shown(value)} cannot stand in a config: a text has one '
                           'printable line, and neither {{ nor }}')


def _comment(note: str) -> str:
    _check_text(note, 'restore_hint')
    return note.replace('\\', '/').replace('"', "'")
