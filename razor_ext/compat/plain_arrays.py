"""NumPy arrays in pickles: what is in them is checked before NumPy builds anything.

The state of a pickled `numpy.dtype` is trusted by NumPy: one that says "no objects" of bytes that
are pointers crashes the interpreter, and an array without its bytes is memory that nobody has
written. So a pickle is gone through once with stand-ins, which allow plain types by name and arrays
that their own bytes fill.
"""
from __future__ import annotations

import collections
import io
import math
import pickle
import re
from collections.abc import Callable
from typing import IO, Any

import numpy as np

#: Booleans, integers, floats, complex numbers, text of fixed length, and lists of objects.
_PLAIN = re.compile(
    r'[<>=|]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SU]\d{1,9}|O8?)')
_RECONSTRUCT = tuple(f'numpy.{core}.multiarray._reconstruct' for core in ('core', '_core'))
_SCALAR = tuple(f'numpy.{core}.multiarray.scalar' for core in ('core', '_core'))
#: Characters of a name: torch looks for its own words in a message with the name, by an expression
#: whose time grows with the square of the length.
_MOST_NAME = 1000
_FROM_BUFFER = tuple(f'numpy.{core}.numeric._frombuffer' for core in ('core', '_core'))


class ArrayPickleError(pickle.UnpicklingError):
    """A pickled array or type that could crash NumPy, or that its bytes do not fill."""


class PlainDType:
    """Stands for `numpy.dtype` while a pickle is looked at.

    Args:
        name: a plain type, such as 'f4'.
        options: `align` and `copy`, as NumPy pickles them.

    Raises:
        ArrayPickleError: another type, or a state that is not this type's.
    """

    def __init__(self, name: Any = None, *options: Any) -> None:
        name = name.decode('latin1') if isinstance(name, bytes) else name
        found = _PLAIN.fullmatch(name) if isinstance(name, str) else None
        if found is None or len(options) > 2 or not all(
                isinstance(option, (bool, int)) for option in options):
            raise ArrayPickleError(f'an array of type {name!r:.40} is refused: only plain numbers '
                                   'and text are read')
        try:
            self.dtype = np.dtype(name)
        except TypeError as error:  # a width that this machine has not
            raise ArrayPickleError(f'an array of type {name!r:.40}: {error}') from error

    def __setstate__(self, state: Any) -> None:
        expected = self.dtype.__reduce__()[2]
        if not isinstance(state, tuple) or len(state) < 2:
            raise ArrayPickleError(f'the type {self.dtype} has the state {state!r:.80}')
        order = state[1].decode('latin1') if isinstance(state[1], bytes) else state[1]
        if order not in ('<', '>', '|', '=') or (state[0], *state[2:]) != (
                expected[0], *expected[2:]):
            raise ArrayPickleError(f'the type {self.dtype} has the state {state!r:.80}, which is '
                                   'not its own')
        if order in ('<', '>'):
            self.dtype = self.dtype.newbyteorder('>' if order == '>' else '<')


class PlainArray:
    """Stands for an array that `_reconstruct` makes and its state fills."""

    array = np.empty(0)

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        if kind is not ArrayType or shape != (0, ) or code not in (b'b', 'b'):
            raise ArrayPickleError(f'an array is made with shape {shape!r:.80} and type '
                                   f'{code!r:.40}: it would hold memory that nothing has written')

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], PlainDType):
            raise ArrayPickleError(f'an array has the state {state!r:.80}')
        _, shape, kind, fortran, content = state
        self.array = _filled(content, kind, shape, 'F' if fortran else 'C')


class ArrayType:
    """Stands for `numpy.ndarray`."""

    def __init__(self, *_: Any) -> None:
        raise ArrayPickleError('numpy.ndarray is called: it would hold memory that nothing has '
                               'written')


def _filled(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """Return the array that bytes fill; of a list of objects, nothing but the check."""
    if isinstance(kind, PlainDType) and kind.dtype.hasobject and isinstance(content, list):
        content, kind = bytes(len(content)), PlainDType('u1')
    filled = isinstance(kind, PlainDType) and not kind.dtype.hasobject and isinstance(
        content, (bytes, bytearray, memoryview))
    if (not filled or not isinstance(shape, tuple) or len(shape) > 32
            or not all(type(size) is int and size >= 0 for size in shape)
            or order not in ('C', 'F')):
        raise ArrayPickleError(f'an array of shape {shape!r:.80} and type {kind!r:.40} is damaged')
    size = memoryview(content).nbytes
    if math.prod(shape) * kind.dtype.itemsize != size:
        raise ArrayPickleError(f'an array of shape {shape!r:.80} and type {kind.dtype} has {size} '
                               'bytes')
    if not size:
        return np.empty(shape, kind.dtype, order)
    return np.frombuffer(bytearray(content), kind.dtype).reshape(shape, order=order)


def _scalar(kind: Any, content: Any = b'') -> Any:
    return _filled(content, kind, (), 'C')[()]


def _encode(text: Any, encoding: Any = 'utf-8', *_: Any) -> bytes:
    """Stand for `codecs.encode`, by which old protocols spell bytes."""
    if not isinstance(text, str) or encoding != 'latin1':
        raise ArrayPickleError(f'codecs.encode of {type(text).__name__} to {encoding!r:.40} is '
                               'refused')
    return text.encode('latin1')


def array_stand_ins() -> dict[str, Callable]:
    """Return what stands for NumPy in a pickle, by full name."""
    return {'numpy.ndarray': ArrayType, 'numpy.dtype': PlainDType, '_codecs.encode': _encode,
            **dict.fromkeys(_RECONSTRUCT, PlainArray), **dict.fromkeys(_SCALAR, _scalar),
            **dict.fromkeys(_FROM_BUFFER, lambda content, kind, shape, order:
                            _filled(content, kind, shape, order))}


class _Anything:
    """Stands for all else: takes every argument, state and element, and keeps none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take an element."""

    def extend(self, values: Any) -> None:
        """Take elements."""

    add = append


class BoundedReader:
    """Reads a file by calls that cost no more memory than the file has bytes left.

    Args:
        file: a binary file that can seek.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file, place = file, file.tell()
        self._end = file.seek(0, io.SEEK_END)
        file.seek(place)
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        """Return at most so many bytes."""
        return self._file.read(max(0, min(size, self._end - self._file.tell())))


# The unpickler in C allocates whatever a length or a memo index says; this one does not.
class ArrayUnpickler(pickle._Unpickler):
    """Builds the stand-ins of a pickle.

    Args:
        file: a binary file, at the start of a pickle.
        other: stands for what is no array, by its full name; None refuses it.
    """

    dispatch = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: IO[bytes], other: Callable[[str], Any] | None = None) -> None:
        super().__init__(BoundedReader(file), encoding='utf-8', errors='replace')
        self._known, self._other = array_stand_ins(), other

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; nothing is imported."""
        full_name = f'{module}.{name}'
        if len(full_name) > _MOST_NAME:
            raise ArrayPickleError(f'a name of {len(full_name)} characters, {full_name:.80}..., is '
                                   'refused')
        if full_name in self._known:
            return self._known[full_name]
        if self._other is None or full_name.startswith('numpy.'):
            raise ArrayPickleError(f'refused, since only plain NumPy arrays are read: '
                                   f'{full_name:.80}')
        return self._other(full_name)

    def persistent_load(self, key: Any) -> Any:
        """Return what stands for the storage of a tensor."""
        return _Anything()

    def _load_bytearray(self) -> None:
        """Read the bytes before there is memory for them; Python's own fills it first."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), 'little'))))

    # Typed for the base class, whose table it is a copy of.
    dispatch[pickle.BYTEARRAY8[0]] = _load_bytearray  # type: ignore[assignment]


def _no_bytes(*arguments: Any) -> Any:
    """Stand for `bytes`, by whose call without arguments empty arrays are pickled."""
    return _Anything() if arguments else b''


_OTHERS: dict[str, Any] = {
    'collections.OrderedDict': collections.OrderedDict, 'builtins.set': set, '__builtin__.set': set,
    'builtins.bytes': _no_bytes, '__builtin__.bytes': _no_bytes}


def check_pickle(file: IO[bytes]) -> None:
    """Go through the next pickle of a file; nothing of it is imported or built.

    Args:
        file: a binary file, at the start of a pickle; afterwards behind it.

    Raises:
        ArrayPickleError: it holds an array or type that is not plain.
        Exception: of any kind, where the stream is corrupt.
    """
    ArrayUnpickler(file, lambda name: _OTHERS.get(name, _Anything)).load()
