"""Loading checkpoints without running what they bring: ``weights_only`` and an allowlist.

mmengine's epoch checkpoints hold more than tensors: log histories, numpy scalars and arrays. Those
types are allowed here; anything else is refused by name. There is no silent fallback to pickle.
"""
from __future__ import annotations

import codecs
import collections
import importlib
import importlib.util
import io
import os
import pickle
import re
import struct
import types
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from typing import IO, Any, Callable, Union

import numpy as np
import torch

from .plain_arrays import ArrayPickleError, check_pickle

UNSAFE_VARIABLE = 'RAZOR_EXT_UNSAFE_LOAD'
"""Set to 1 to unpickle checkpoints with any content; only for files you trust."""

FileLike = Union[str, 'os.PathLike[str]', IO[bytes]]

#: Of a file of torch's format before zip: magic number, version, system, content, storages.
_LEGACY_PICKLES = 5
#: A zip may unpack to so many times its size, and to so many bytes in any case.
_MOST_UNPACKED, _ALWAYS_UNPACKED = 4, 64 << 20

_NUMPY_FUNCTIONS = (('multiarray', '_reconstruct'), ('multiarray', 'scalar'),
                    ('numeric', '_frombuffer'))


class UnsafeCheckpointError(RuntimeError):
    """A checkpoint holds types that could run code when unpickled."""


def _numpy_functions() -> dict[str, Callable]:
    """Return numpy's rebuilding functions under the module names of numpy 1 and of numpy 2."""
    # numpy 1.26 has an empty-handed `numpy._core` too.
    whole = importlib.util.find_spec('numpy._core.numeric') is not None
    core = importlib.import_module('numpy._core' if whole else 'numpy.core')
    return {
        f'{package}.{module}.{name}': getattr(importlib.import_module(f'{core.__name__}.{module}'),
                                              name)
        for package in ('numpy.core', 'numpy._core') for module, name in _NUMPY_FUNCTIONS
    }


def allowed_types() -> dict[str, Any]:
    """Return what checkpoints of mmengine may hold besides tensors, by pickled name."""
    from mmengine.logging import HistoryBuffer

    dtype_classes = {type(np.dtype(code)) for code in np.typecodes['All']}
    # The first line is what newer releases of torch allow by themselves.
    plain = (collections.Counter, bytearray, set, complex, torch.device, torch.Size,
             HistoryBuffer, np.ndarray, np.dtype, *dtype_classes)
    named = {f'{found.__module__}.{found.__qualname__}': found for found in plain}
    return {**named, **_numpy_functions(), '_codecs.encode': codecs.encode,
            'builtins.getattr': _history_statistic, 'builtins.bytes': _empty_bytes}


def _empty_bytes(*arguments: Any) -> bytes:
    """Stand for the call of `bytes` without arguments by which empty arrays are pickled."""
    if arguments:
        raise pickle.UnpicklingError(f'bytes{arguments!r} is not allowed')
    return b''


def _history_statistic(*arguments: Any) -> Callable:
    """Stand for the `getattr` by which a HistoryBuffer names its statistics, and for no other."""
    from mmengine.logging import HistoryBuffer

    if (len(arguments) != 2 or arguments[0] is not HistoryBuffer
            or str(arguments[1]) not in ('min', 'max', 'mean', 'current')):
        raise pickle.UnpicklingError(f'getattr{arguments!r} is not allowed')
    return getattr(HistoryBuffer, str(arguments[1]))


def _restricted_pickle(allowed: dict[str, Any], refused: set[str]) -> types.SimpleNamespace:
    """Return a pickle module whose unpickler resolves only `allowed`; `refused` collects others."""

    class Unpickler(pickle.Unpickler):

        def find_class(self, module: str, name: str) -> Any:
            # Old pickle protocols write the names of Python 2.
            module, name = NAME_MAPPING.get((module, name),
                                            (IMPORT_MAPPING.get(module, module), name))
            full_name = f'{module}.{name}'
            if full_name not in allowed:
                refused.add(full_name)
                raise pickle.UnpicklingError(f'{full_name} is not allowed')
            return allowed[full_name]

    def load(file: IO[bytes], **kwargs: Any) -> Any:
        return Unpickler(file, **kwargs).load()

    return types.SimpleNamespace(Unpickler=Unpickler, load=load, __name__='restricted_pickle')


def _load_restricted(file: FileLike, map_location: Any, allowed: dict[str, Any],
                     refused: set[str]) -> Any:
    """Load by an own unpickler, for a torch whose ``weights_only`` cannot take an allowlist."""
    from torch._weights_only_unpickler import _get_allowed_globals

    pickle_module = _restricted_pickle({**_get_allowed_globals(), **allowed}, refused)
    return torch.load(file, map_location=map_location, pickle_module=pickle_module,
                      weights_only=False)


def _load_weights_only(file: FileLike, map_location: Any, allowed: dict[str, Any],
                       refused: set[str]) -> Any:
    """Load by torch's own ``weights_only`` unpickler, extended by the allowlist."""
    entries: list[Any] = [(found, name) for name, found in allowed.items()]
    with torch.serialization.safe_globals(entries):
        try:
            return torch.load(file, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError as error:
            refused.update(re.findall(r'GLOBAL ([\w.]+)', str(error)))
            raise


def _check_arrays(file: FileLike) -> None:
    """Look through the pickles of a checkpoint before anything of it is built.

    Raises:
        ArrayPickleError: an array or its type is not plain.
        RuntimeError: the file is damaged, or far larger unpacked than it is.
    """
    if not isinstance(file, (str, os.PathLike)):
        place = file.tell()
        _check_file(file)
        file.seek(place)
        return
    with open(file, 'rb') as opened:
        _check_file(opened)


def _check_file(file: IO[bytes]) -> None:
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                for content in _pickles_of(archive, file.seek(0, io.SEEK_END)):
                    check_pickle(io.BytesIO(content))
            return
        file.seek(0)
        for _ in range(_LEGACY_PICKLES):
            check_pickle(file)
    except (ArrayPickleError, RuntimeError, OSError):
        raise
    except Exception as error:  # a corrupt stream can raise almost anything
        raise RuntimeError(f'it is damaged: {type(error).__name__}: {str(error)[:200]}') from error


def _pickles_of(archive: zipfile.ZipFile, size: int) -> list[bytes]:
    """Return the pickles of a zip of so many bytes; what it unpacks to is checked before."""
    records = archive.infolist()
    whole = sum(record.file_size for record in records)
    if whole > max(_MOST_UNPACKED * size, _ALWAYS_UNPACKED):
        raise RuntimeError(f'its {size:,} bytes unpack to {whole:,}: torch.save packs nothing')
    found = []
    for record in records:
        if record.filename.rpartition('/')[2] == 'data.pkl':
            with archive.open(record) as stream:
                # torch writes none where it is told so.
                vars(stream)['_expected_crc'] = None
                found.append(stream.read())
    return found


def _name_of(file: FileLike) -> str:
    return str(file if isinstance(file, (str, os.PathLike)) else getattr(file, 'name', file))


def safe_load(file: FileLike, map_location: Any = None, *,
              allow_unsafe: bool | None = None) -> Any:
    """Load a checkpoint, refusing types that are neither tensors nor on the allowlist.

    Args:
        file: Path or binary file of the checkpoint.
        map_location: As for :func:`torch.load`.
        allow_unsafe: Unpickle anything the file holds. Defaults to what the environment variable
            ``RAZOR_EXT_UNSAFE_LOAD`` says (``1``: yes).

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the file cannot be read; names the file.
        UnsafeCheckpointError: If the file holds another type; names the file and the type.
    """
    if allow_unsafe is None:
        allow_unsafe = os.environ.get(UNSAFE_VARIABLE) == '1'
    if allow_unsafe:
        return torch.load(file, map_location=map_location, weights_only=False)
    # This function came together with allowlist entries under another name than the type's own.
    has_allowlist = hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint')
    load = _load_weights_only if has_allowlist else _load_restricted
    refused: set[str] = set()
    try:
        _check_arrays(file)
        return load(file, map_location, allowed_types(), refused)
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (RuntimeError, EOFError, OSError) as error:
        raise RuntimeError(f'{_name_of(file)} could not be read: {str(error)[:2000]}') from error
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, struct.error,
            MemoryError, OverflowError) as error:  # of a stream that is damaged
        raise RuntimeError(f'{_name_of(file)} could not be read: it is damaged: '
                           f'{type(error).__name__}: {str(error)[:200]}') from error
    except pickle.UnpicklingError as error:
        reason = str(error).rpartition('WeightsUnpickler error:')[2].strip()
        reason = reason.partition('\n')[0][:300]
        names = ', '.join(name[:100] for name in sorted(refused)[:8])
        what = f'it holds {names}' if refused else reason
        raise UnsafeCheckpointError(
            f'{_name_of(file)} was not loaded: {what}. Only tensors, arrays, plain Python values '
            'and log histories are; anything else could run code. If you trust where the file '
            f'comes from, set {UNSAFE_VARIABLE}=1 (or pass allow_unsafe=True to '
            'razor_ext.compat.safe_load).') from error
