"""A digest of all that the proof of a model's units depends on."""
from __future__ import annotations

import enum
import functools
import hashlib
import inspect
import logging
import os
import platform
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree as pytree

from razor_ext.version import __version__

from .data import GraphData
from .fixers import find_fixer
from .rules import RULES
from .structure import leaf_tensors

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device,
          torch.layout, torch.memory_format, np.dtype, np.generic)
#: What a proof replaces by random numbers.
_STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
#: Attributes of a module that hold its tensors and children, which are taken by themselves.
_LISTED = ('_parameters', '_buffers', '_modules')
#: Packages whose version stands for their source.
_VERSIONED = frozenset(('torch', 'numpy', 'builtins',
                        *getattr(sys, 'stdlib_module_names', ())))  # of Python 3.10
_OWN = Path(__file__).parent


class _UnknownError(Exception):
    """A value of which no digest can be made."""


def fingerprint(graph: GraphData) -> str | None:
    """Digest what the proof of a graph's units depends on.

    These are the trace; the units; the types and attributes of the modules; the shapes and types of
    parameters and inputs, and the values of what a proof does not replace by random ones (buffers,
    integers); the source files that the modules, rules, fixers and stand-ins come from, with those
    of what they call; and the versions of Python, PyTorch and this package. Of inputs that are
    neither tensors nor plain values, such as annotations, only the types are.

    Args:
        graph: The graph under the empty policy, before anything is proved of it.

    Returns:
        A hexadecimal digest, or None if something cannot be digested, such as a type that was
        defined at a prompt or a weight that is not finite.
    """
    digest = _Digest()
    try:
        digest.add((__version__, torch.__version__, np.__version__, platform.python_version(),
                    platform.machine(), torch.get_default_dtype()))
        digest.add(units_digest(graph))
        digest.add(_trace(graph))
        digest.add_inputs(graph.args, graph.kwargs)
        for path, module in graph.model.named_modules():
            digest.add(path)
            digest.add_module(module)
            digest.add(find_fixer(module))
        for name, tensor in leaf_tensors(graph.model).items():
            digest.add((name, tensor.shape, tensor.dtype, tensor.device.type,
                        tensor.requires_grad))
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return None
            random = isinstance(tensor, nn.Parameter) and tensor.is_floating_point()
            if not random and name.rpartition('.')[2] not in _STATISTICS:
                digest.add_values(tensor)
        for name in sorted({call.name for call in graph.program.calls}):
            digest.add((name, RULES.get(name)))
        for file in sorted({*digest.files, *_sources_of_the_trace(graph), *_own_sources()}):
            digest.add((file, _content(file)))
    except (_UnknownError, RecursionError):
        return None
    return digest.hash.hexdigest()


def units_digest(graph: GraphData) -> str:
    """Digest the units of a graph: names, sizes and members."""
    found = hashlib.sha256()
    for unit in graph.units:
        found.update(repr((unit.name, unit.num_channels)).encode())
        for member in (*unit.members, *unit.outputs):
            found.update(repr((member.name, member.dim, member.role)).encode())
            found.update(member.indices.contiguous().numpy().tobytes())
    return found.hexdigest()


def _trace(graph: GraphData) -> list[Any]:
    program = graph.program
    return [sorted(program.leaves.items()), program.arguments, program.outputs, program.shapes,
            [(call.name, repr(call.inputs), call.outputs, call.source) for call in program.calls]]


def _sources_of_the_trace(graph: GraphData) -> set[str]:
    found = {call.source.rpartition(':')[0] for call in graph.program.calls}
    return {file for file in found if os.path.isfile(file)}


def _own_sources() -> Iterator[str]:
    yield from (str(path) for path in _OWN.rglob('*.py'))
    yield str(_OWN.parent / 'attention.py')


def _key(item: tuple[Any, Any]) -> str:
    """Sort mappings and attributes: MMEngine makes some of sets, whose order differs per run."""
    return repr(item[0])


def _name(value: Any) -> str:
    return f'{value.__module__}.{value.__qualname__}'


@functools.cache
def _content(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:
        raise _UnknownError from error


class _Digest:
    """Takes values one by one; an object that comes again stands for itself.

    Attributes:
        hash: Of the values.
        files: Source files of the types and functions among them.
    """

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.files: set[str] = set()
        self._seen: dict[int, int] = {}
        self._alive: list[Any] = []
        self._noted: set[str] = set()

    def add(self, value: Any) -> None:
        """Take a value, with all that it holds.

        Raises:
            _UnknownError: It, or something in it, cannot be digested.
        """
        if isinstance(value, _PLAIN):
            self._text(f'{type(value).__name__} {value!r}')
            return
        if id(value) in self._seen:
            self._text(f'seen {self._seen[id(value)]}')
            return
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)  # an id is unique only among living objects
        self._text(f'{type(value).__module__}.{type(value).__qualname__}')
        for kinds, take in self._kinds():
            if isinstance(value, kinds):
                take(value)
                return
        self._object(value)

    def _kinds(self) -> list[tuple[Any, Callable[[Any], None]]]:
        return [(torch.Tensor, self._input), (np.ndarray, self._array),
                (Mapping, lambda value: self._items(sorted(value.items(), key=_key))),
                ((list, tuple), self._items),
                ((set, frozenset), lambda value: self._items(sorted(value, key=repr))),
                (enum.Enum, lambda value: self._text(value.name)),
                ((type, types.FunctionType, types.BuiltinFunctionType), self._named),
                (types.MethodType, lambda value: self._items([value.__func__, value.__self__])),
                (functools.partial,
                 lambda value: self._items([value.func, value.args, value.keywords])),
                (os.PathLike, lambda value: self._text(os.fspath(value))),
                (logging.Logger, lambda value: self._text(value.name)),
                (nn.Module, self.add_module)]

    def add_module(self, module: nn.Module) -> None:
        """Take the type and the attributes of a module, but not its tensors and children."""
        self.note(type(module))
        self._text(_name(type(module)))
        self.add({name: value for name, value in vars(module).items() if name not in _LISTED})

    def add_inputs(self, args: tuple, kwargs: Mapping[str, Any]) -> None:
        """Take the arguments of a call: MMPose's annotations differ from run to run."""
        leaves, spec = pytree.tree_flatten((args, dict(kwargs)))
        self._text(str(spec))
        for leaf in leaves:
            plain = isinstance(leaf, (*_PLAIN, torch.Tensor, np.ndarray))
            self.add(leaf if plain else type(leaf))

    def add_values(self, tensor: torch.Tensor) -> None:
        """Take the values of a tensor."""
        self._array(tensor.detach().cpu().contiguous().numpy())

    def note(self, value: Any) -> None:
        """Take down where a type or function was defined, its bases and what it calls.

        Raises:
            _UnknownError: It was defined in no file.
        """
        pending = [value]
        while pending:
            item = pending.pop()
            item = item if isinstance(item, type) else inspect.unwrap(item)
            bases = item.__mro__ if isinstance(item, type) else (item, )
            for name in {getattr(base, '__module__', None) for base in bases}:
                if name is None or name.partition('.')[0] in _VERSIONED or name in self._noted:
                    continue
                self._noted.add(name)
                module = sys.modules.get(name)
                file = getattr(module, '__file__', None)
                if file is not None:
                    self.files.add(file)
                    pending.extend(found for found in vars(module).values()
                                   if isinstance(found, (type, types.FunctionType)))
                elif item is value:  # what else a file names may be of an extension
                    raise _UnknownError

    def _text(self, text: str) -> None:
        self.hash.update(text.encode('utf-8', 'surrogatepass') + b'\0')

    def _items(self, values: Any) -> None:
        self._text(str(len(values)))
        for value in values:
            self.add(value)

    def _input(self, tensor: torch.Tensor) -> None:
        """Random numbers may differ from call to call; whether all are equal matters to a proof."""
        self._text(f'{tuple(tensor.shape)} {tensor.dtype} {tensor.device.type}')
        if not tensor.is_floating_point():
            self.add_values(tensor)
        elif tensor.numel():
            self.add(bool((tensor == tensor.reshape(-1)[0]).all()))

    def _array(self, array: np.ndarray) -> None:
        if array.dtype.hasobject:
            raise _UnknownError
        self._text(f'{array.dtype} {array.shape}')
        self.hash.update(np.ascontiguousarray(array).tobytes())

    def _named(self, value: Any) -> None:
        self._text(_name(value))
        if isinstance(value, types.FunctionType):
            self.hash.update(value.__code__.co_code)
            self._items([value.__defaults__, value.__kwdefaults__,
                         *(cell.cell_contents for cell in value.__closure__ or ())])
        if not isinstance(value, types.BuiltinFunctionType):
            self.note(value)

    def _object(self, value: Any) -> None:
        """An object is its type and its attributes."""
        if not hasattr(value, '__dict__') or isinstance(value, types.ModuleType):
            raise _UnknownError
        self.note(type(value))
        self.add(vars(value))
