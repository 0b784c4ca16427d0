"""Record a model's forward pass as a flat list of functional ATen calls on fake tensors."""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.func import functionalize
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from razor_ext.attention import no_fused_attention

from .errors import TraceError
from .shapes import shortcut
from .stand_ins import heads, orders
from .structure import call_with, leaf_tensors

_TORCH_ROOT = os.path.dirname(torch.__file__) + os.sep
SKIPPED_ROOTS = (_TORCH_ROOT, os.path.dirname(os.path.abspath(__file__)) + os.sep, '<')
_PLAIN_OUTPUTS = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.Size)


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor of the trace, by number."""

    number: int


@dataclasses.dataclass
class Call:
    """One ATen call.

    Args:
        index: Position in the program.
        name: Operator name without namespace `aten`, overload or in-place suffix.
        inputs: Schema argument name -> literal, `Ref`, or (nested) list of them.
        outputs: Numbers of the tensors it returns; None for a non-tensor.
        many: Whether the operator returns a tuple or list.
        source: 'file:line' of the innermost frame outside torch.
    """

    index: int
    name: str
    inputs: dict[str, Any]
    outputs: tuple[int | None, ...]
    many: bool
    source: str

    def __str__(self) -> str:
        return f'{self.name} ({self.source})'

    @property
    def refs(self) -> Iterator[Ref]:
        """The tensors among the arguments."""
        stack = list(self.inputs.values())
        while stack:
            item = stack.pop()
            if isinstance(item, Ref):
                yield item
            elif isinstance(item, list):
                stack.extend(item)


@dataclasses.dataclass
class Program:
    """The recorded forward pass.

    Args:
        leaves: Parameter or buffer name -> tensor number.
        arguments: Numbers of the input tensors.
        outputs: Numbers of the output tensors, in pytree order.
        calls: The ATen calls in execution order.
        shapes: Shape of every tensor, by number.
        orders: Buffer name -> the positions by which it reorders channels.
        heads: Shape that attention splits channels into -> the axis that is of heads.
    """

    leaves: dict[str, int]
    arguments: tuple[int, ...]
    outputs: tuple[int, ...]
    calls: list[Call]
    shapes: list[tuple[int, ...]]
    orders: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    heads: dict[tuple[int, ...], int] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def used(self) -> frozenset[int]:
        """Numbers of the tensors that a call or the model's caller receives."""
        return frozenset((*self.outputs, *(
            ref.number for call in self.calls for ref in call.refs)))


class _Recorder(TorchDispatchMode):
    """Number every tensor that passes and keep the functional ATen calls."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self.mode = mode
        self.calls: list[Call] = []
        self.shapes: list[tuple[int, ...]] = []
        self.last = ''
        self._numbers: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Whether PyTorch wraps the dispatch function against its compiler, which takes time."""
        return False

    def number(self, tensor: torch.Tensor) -> int:
        known = self._numbers.get(id(tensor))
        if known is None:
            known = self._numbers[id(tensor)] = len(self.shapes)
            self.shapes.append(tuple(tensor.shape))
            self._alive.append(tensor)  # an id is unique only among living objects
        return known

    def _encode(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return Ref(self.number(value))
        if isinstance(value, (list, tuple)):
            return [self._encode(item) for item in value]
        return value

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return args[0].fake_device if isinstance(args[0], FakeTensor) else args[0].device
        if func.namespace == 'prim':
            return func(*args, **(kwargs or {}))
        self.last = f'{func} at {_source()}'
        out = shortcut(self.mode, func, args, kwargs)
        if out is None:
            out = func(*args, **(kwargs or {}))
        name, arguments = _schema(func)
        inputs = dict(arguments)
        for (key, _), value in zip(arguments, args):
            inputs[key] = self._encode(value)
        for key, value in (kwargs or {}).items():
            inputs[key] = self._encode(value)
        many = isinstance(out, (list, tuple))
        outputs = tuple(
            self.number(item) if isinstance(item, torch.Tensor) else None
            for item in (out if many else (out, )))
        source = self.last.rpartition(' at ')[2]
        self.calls.append(Call(len(self.calls), name, inputs, outputs, many, source))
        return out


@functools.cache
def _schema(func: Any) -> tuple[str, tuple[tuple[str, Any], ...]]:
    schema = func._schema
    namespace, _, name = schema.name.partition('::')
    if not name.startswith('__') and name.endswith('_'):
        name = name[:-1]
    if namespace != 'aten':
        name = f'{namespace}::{name}'
    arguments = tuple((arg.name, arg.default_value if arg.has_default_value() else None)
                      for arg in schema.arguments)
    return name, arguments


def _source() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename.startswith(SKIPPED_ROOTS):
        frame = frame.f_back
    if frame is None:
        return 'unknown line'
    return f'{frame.f_code.co_filename}:{frame.f_lineno}'


def _fake(mode: FakeTensorMode, tensor: torch.Tensor) -> FakeTensor:
    """Make a fake tensor like a plain one; `from_tensor` takes ten times as long."""
    meta = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device='meta')
    return FakeTensor(mode, meta, tensor.device)


@contextlib.contextmanager
def _no_fake_tensor_log() -> Iterator[None]:
    """Keep the fake tensor's own log silent; a failure is raised as `TraceError`."""
    logger = logging.getLogger('torch._subclasses.fake_tensor')
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def trace(model: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Program:
    """Record the ATen calls of `model(*args, **kwargs)` without computing anything.

    In-place writes, also through views, are made functional, so every tensor has one value.

    Args:
        model: A `structure_copy`.
        args: Positional arguments.
        kwargs: Keyword arguments.

    Returns:
        The program.

    Raises:
        TraceError: The forward pass failed on fake tensors, for example because Python control
            flow depends on tensor values; the message names the operator and source line.
    """
    fake_mode = FakeTensorMode(allow_non_fake_inputs=True)
    recorder = _Recorder(fake_mode)
    state = {name: _fake(fake_mode, tensor) for name, tensor in leaf_tensors(model).items()}
    flat, spec = pytree.tree_flatten((args, kwargs))
    flat = [_fake(fake_mode, x) if isinstance(x, torch.Tensor) else x for x in flat]
    leaves = {name: recorder.number(tensor) for name, tensor in state.items()}
    arguments = tuple(recorder.number(x) for x in flat if isinstance(x, torch.Tensor))
    others: list[Any] = []

    def run(state: dict[str, torch.Tensor], tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        supply = iter(tensors)
        values = [next(supply) if isinstance(x, torch.Tensor) else x for x in flat]
        call_args, call_kwargs = pytree.tree_unflatten(values, spec)
        out = call_with(model, state, call_args, call_kwargs)
        leaves_out = pytree.tree_flatten(out)[0]
        others.extend(x for x in leaves_out if not isinstance(x, torch.Tensor))
        return [x for x in leaves_out if isinstance(x, torch.Tensor)]

    tensors = [x for x in flat if isinstance(x, torch.Tensor)]
    try:
        with torch.no_grad(), no_fused_attention(), _no_fake_tensor_log(), fake_mode, \
                recorder:
            outs = functionalize(run)(state, tensors)
    except Exception as error:
        partial = Program(leaves, arguments, (), recorder.calls, recorder.shapes)
        cause = _explain(error, recorder.last)
        shapes = ', '.join(' x '.join(map(str, x.shape)) for x in tensors)
        raise TraceError(f'the model cannot be traced: {cause}. Python control flow must not '
                         'depend on tensor values, and the example inputs must be ones the model '
                         f'accepts (they are {shapes})', cause, partial) from error
    for item in others:
        if not isinstance(item, _PLAIN_OUTPUTS):
            raise TraceError(f'the model returns an object of type {type(item).__name__}, in which '
                             'output tensors cannot be found; call it in a mode that returns '
                             'tensors (mode="tensor" for OpenMMLab models)')
    outputs = tuple(recorder.number(x) for x in outs)
    return Program(leaves, arguments, outputs, recorder.calls, recorder.shapes,
                   {name: order.cpu().numpy() for name, order in orders(model).items()},
                   heads(model))


def _explain(error: Exception, last: str) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if not frame.filename.startswith(SKIPPED_ROOTS)]
    where = 'unknown'
    if frames:
        where = f'{frames[-1].filename}:{frames[-1].lineno} ({frames[-1].line})'
    text = str(error).strip().splitlines()
    return (f'{type(error).__name__}: {text[0] if text else ""}; last operator {last or "none"}, '
            f'source line {where}')
