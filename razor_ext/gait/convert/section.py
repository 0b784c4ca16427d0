"""Settings of a YAML file, read so that every key is used and every value checked."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Largest value shown in a message, in characters.
_SHOWN = 120

_REQUIRED: Any = object()


class SettingError(ValueError):
    """A setting of an OpenGait YAML file that is wrong, or has no counterpart here."""


def shown(value: object) -> str:
    """A value as a message shows it: cut off where it is long."""
    try:
        text = repr(value)
    except (RecursionError, ValueError):  # an integer of thousands of digits has no text
        return f'<{type(value).__name__}>'
    return text if len(text) <= _SHOWN else f'{text[:_SHOWN]}...'


class Section:
    """A mapping of a YAML file of which every key must be read.

    Args:
        content (Mapping): The mapping.
        path (str): Its place in the file, for messages.

    Raises:
        SettingError: If it is no mapping, or has a key that is no text.
    """

    def __init__(self, content: object, path: str) -> None:
        if not isinstance(content, Mapping):
            raise SettingError(f'{path} must be a mapping, not {shown(content)}')
        odd = [key for key in content if not isinstance(key, str)]
        if odd:
            raise SettingError(f'{path} has a key that is no text: {shown(odd[0])}')
        self.content, self.path = content, path
        self._read: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return self.content.get(key) is not None

    def where(self, key: str) -> str:
        """The place of a key in the file."""
        return f'{self.path}.{key}'

    def fail(self, key: str, reason: str) -> SettingError:
        """An error that names a key, its value and what is wrong with it."""
        return SettingError(f'{self.where(key)}={shown(self.content.get(key))} {reason}')

    def get(self, key: str, default: Any = _REQUIRED) -> Any:
        """The value of a key, unchecked; a key without a value counts as left out."""
        self._read.add(key)
        value = self.content.get(key)
        if value is None:
            if default is _REQUIRED:
                raise SettingError(f'{self.where(key)} is missing')
            return default
        return value

    def section(self, key: str, default: Any = _REQUIRED) -> Section:
        """A section inside this one."""
        return Section(self.get(key, default), self.where(key))

    def sections(self, key: str, default: Any = _REQUIRED) -> list[Section]:
        """A list of sections; one section alone stands for a list of one."""
        value = self.get(key, default)
        if isinstance(value, Mapping):
            return [Section(value, self.where(key))]
        if not isinstance(value, (list, tuple)):
            raise self.fail(key, 'must be a list of mappings')
        return [Section(entry, f'{self.where(key)}[{i}]') for i, entry in enumerate(value)]

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        """True or false."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, 'must be true or false')
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """A text of one line, not empty."""
        value = self.get(key, default)
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.fail(key, 'must be a text of one line')
        return value

    def choice(self, key: str, choices: Sequence[str] | Mapping[str, Any],
               default: Any = _REQUIRED) -> Any:
        """One of some texts; of a mapping, what the text stands for."""
        value = self.get(key, default)
        if not isinstance(value, str) or value not in choices:
            raise self.fail(key, f'is none of {sorted(choices)}')
        return choices[value] if isinstance(choices, Mapping) else value

    def integer(self, key: str, default: Any = _REQUIRED, least: int = 1,
                most: int = 2 ** 31 - 1) -> int:
        """A whole number between bounds, both included."""
        value = self.get(key, default)
        if not _is_integer(value) or not least <= value <= most:
            raise self.fail(key, f'must be a whole number from {least} to {most}')
        return value

    def integers(self, key: str, default: Any = _REQUIRED, least: int = 1,
                 length: int | None = None) -> list[int]:
        """A list of whole numbers, perhaps of one length."""
        value = self.get(key, default)
        if not isinstance(value, (list, tuple)) or not all(
                _is_integer(v) and least <= v < 2 ** 31 for v in value) or (
                not value if length is None else len(value) != length):
            count = '' if length is None else f'{length} '
            raise self.fail(key, f'must be a list of {count}whole numbers of at least {least}')
        return list(value)

    def number(self, key: str, default: Any = _REQUIRED, least: float = 0.,
               most: float = math.inf) -> float:
        """A finite number between bounds, both included."""
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
                least <= value <= most) or abs(value) > 1e300 or math.isnan(value):
            hint = (' (YAML reads 1e-4 as a text: write 1.0e-4)'
                    if isinstance(value, str) else '')
            raise self.fail(key, f'must be a finite number from {least} to {most}{hint}')
        return value

    def numbers(self, key: str, length: int, least: float = 0., most: float = math.inf
                ) -> list[float]:
        """A list of finite numbers between bounds, of one length."""
        value = self.get(key)
        if not isinstance(value, (list, tuple)) or len(value) != length:
            raise self.fail(key, f'must be a list of {length} numbers')
        inner = Section(dict(zip(map(str, range(length)), value)), self.where(key))
        return [inner.number(name, least=least, most=most) for name in inner.content]

    def ignore(self, *keys: str) -> None:
        """Count keys as read: they have no effect in OpenGait either, or none that is kept."""
        self._read.update(keys)

    def done(self) -> None:
        """Raise an error if a key was not read."""
        left = sorted(set(self.content) - self._read)
        if left:
            raise SettingError(f'{self.path} has settings without a counterpart: {shown(left)}')


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
