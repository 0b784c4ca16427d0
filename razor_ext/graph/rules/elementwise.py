"""Operators that work position by position, with broadcasting."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..flow import Flow, Op, Origin, Value
from ..ids import Axis
from .registry import first, rule

KEEP_ZERO = (
    'silu', 'relu', 'relu6', 'leaky_relu', 'gelu', 'tanh', 'hardswish', 'neg', 'abs', 'sqrt', 'sin',
    'erf', 'elu', 'mish', 'alias', 'detach', '_to_copy', 'clone', 'lift_fresh_copy', 'lift_fresh',
    'lift', 'contiguous', 'dropout', 'native_dropout', 'softsign', 'expm1', 'log1p', 'square',
    'sign', 'round', 'floor', 'ceil', 'trunc', 'hardshrink', 'softshrink', 'atan', 'asinh', 'sinh',
    'bernoulli', 'positive', 'conj', '_conj', 'nan_to_num', 'to')
LOSE_ZERO = ('sigmoid', 'hardsigmoid', 'exp', 'exp2', 'cos', 'cosh', 'softplus', 'logical_not',
             'isnan', 'isinf', 'isfinite', 'bitwise_not', 'erfc', 'log_sigmoid_forward',
             'log_sigmoid')
POLE_AT_ZERO = ('log', 'log2', 'log10', 'rsqrt', 'reciprocal')
ADD = ('add', 'sub', 'rsub', 'maximum', 'minimum', 'fmax', 'fmin', 'lerp', 'hypot')
LOSE_ZERO_BINARY = ('eq', 'ne', 'gt', 'ge', 'lt', 'le', '__and__', '__or__', '__xor__',
                    'logical_and', 'logical_or', 'logical_xor', 'bitwise_and', 'bitwise_or',
                    'bitwise_xor', 'atan2', 'fmod', 'remainder', 'floor_divide', 'addcmul',
                    'addcdiv', 'logaddexp')


def broadcast(flow: Flow, shape: Sequence[int], values: Sequence[Value]) -> list[Axis | None]:
    """Unite the dimensions of all operands that broadcasting aligns."""
    dims: list[Axis | None] = []
    for i, size in enumerate(shape):
        axis, met = None, False
        for value in values:
            j = i - len(shape) + len(value.shape)
            if j < 0 or (value.shape[j] == 1 and size != 1):
                continue
            axis = flow.meet(axis, value.dims[j]) if met else value.dims[j]
            met = True
        dims.append(axis)
    return dims


def zero_flags(value: Value, shape: Sequence[int]) -> list[bool]:
    """The operand's zero flags aligned with the result; a broadcast dimension has none."""
    flags = []
    for i, size in enumerate(shape):
        j = i - len(shape) + len(value.shape)
        flags.append(j >= 0 and value.shape[j] == size and value.zero[j])
    return flags


def common_origin(values: Sequence[Value], shape: Sequence[int]) -> Origin | None:
    """The leaf that all operands come from, as a weight divided by its own norm does."""
    leaves = {None if value.origin is None else value.origin.leaf for value in values}
    if len(leaves) != 1 or None in leaves:
        return None
    for value in values:
        if value.shape == tuple(shape):
            return value.origin
    return None


def pointwise(flow: Flow, op: Op, operands: Sequence[Any], zero: str) -> Value:
    """Unite operands; `zero` says when the result is 0: 'all', 'any', 'first' or 'never'."""
    values = [item for item in operands if isinstance(item, Value)]
    shape = op.shape
    dims = broadcast(flow, shape, values)
    flags = [zero_flags(value, shape) for value in values]
    if zero == 'any':
        result = [any(column) for column in zip(*flags)]
    elif zero == 'first' and isinstance(operands[0], Value):
        result = flags[0]
    elif zero == 'all' and all(isinstance(item, Value) or item == 0 for item in operands):
        result = [all(column) for column in zip(*flags)]
    else:
        result = [False] * len(shape)
    return Value(shape, dims, result, common_origin(values, shape))


@rule(*KEEP_ZERO)
def keep_zero(flow: Flow, op: Op) -> list[Value | None]:
    x = first(op)
    return [Value(x.shape, x.dims, x.zero, x.origin)] + [
        None if shape is None else Value(shape, x.dims if shape == x.shape else None)
        for shape in op.shapes[1:]]


@rule(*LOSE_ZERO)
def lose_zero(flow: Flow, op: Op) -> list[Value | None]:
    x = first(op)
    return [None if shape is None else Value(shape, x.dims if shape == x.shape else None)
            for shape in op.shapes]


@rule(*POLE_AT_ZERO)
def pole_at_zero(flow: Flow, op: Op) -> Value:
    x = first(op)
    for axis, zero in zip(x.dims, x.zero):
        if zero:
            flow.freeze(axis, f'{op.name} of a removed channel is infinite')
    return Value(x.shape, x.dims)


@rule(*ADD)
def add(flow: Flow, op: Op) -> Value:
    scalars = ('alpha', 'weight') if op.name == 'lerp' else ('alpha', )
    operands = [value for key, value in op.inputs.items() if key not in scalars]
    if op.name == 'lerp' and isinstance(op['weight'], Value):
        return pointwise(flow, op, [*operands, op['weight']], 'never')
    return pointwise(flow, op, operands, 'all')


@rule(*LOSE_ZERO_BINARY)
def lose_zero_binary(flow: Flow, op: Op) -> Value:
    return pointwise(flow, op, list(op.inputs.values()), 'never')


@rule('mul')
def mul(flow: Flow, op: Op) -> Value:
    return pointwise(flow, op, [op['self'], op['other']], 'any')


@rule('div')
def div(flow: Flow, op: Op) -> Value:
    divisor = op['other']
    if isinstance(divisor, Value):
        for axis, zero in zip(divisor.dims, divisor.zero):
            if zero:
                flow.freeze(axis, 'divided by a removed channel, which is 0')
    return pointwise(flow, op, [op['self'], divisor], 'first')


@rule('pow')
def power(flow: Flow, op: Op) -> Value:
    x, exponent = op['self'], op['exponent']
    if isinstance(x, Value) and isinstance(exponent, (int, float)):
        if exponent > 0:
            return Value(x.shape, x.dims, x.zero, x.origin)
        return pole_at_zero(flow, op)
    return pointwise(flow, op, [x, exponent], 'never')


@rule('where')
def where(flow: Flow, op: Op) -> Value:
    if 'self' not in op.inputs:
        flow.freeze_all(op, 'positions depend on values')
        return Value(op.shape)
    result = pointwise(flow, op, [op['condition'], op['self'], op['other']], 'never')
    flags = [zero_flags(value, op.shape) for value in (op['self'], op['other'])
             if isinstance(value, Value)]
    if len(flags) == 2 or (flags and 0 in (op['self'], op['other'])):
        result.zero = [all(column) for column in zip(*flags)]
    return result


@rule('masked_fill')
def masked_fill(flow: Flow, op: Op) -> Value:
    result = pointwise(flow, op, [op['self'], op['mask']], 'never')
    if not isinstance(op['value'], Value) and op['value'] == 0:
        result.zero = zero_flags(op['self'], op.shape)
    return result


@rule('clamp', 'clamp_min', 'clamp_max', 'hardtanh')
def clamp(flow: Flow, op: Op) -> Value:
    low = op.get('min_val') if op.name == 'hardtanh' else op.get('min')
    high = op.get('max_val') if op.name == 'hardtanh' else op.get('max')
    if isinstance(low, Value) or isinstance(high, Value):
        return pointwise(flow, op, [op['self'], low, high], 'never')
    x = op['self']
    holds = (low is None or low <= 0) and (high is None or high >= 0)
    return Value(x.shape, x.dims, x.zero if holds else None, x.origin)


@rule('threshold')
def threshold(flow: Flow, op: Op) -> Value:
    x = op['self']
    return Value(x.shape, x.dims, x.zero if op['value'] == 0 or op['threshold'] < 0 else None)


@rule('prelu', '_prelu_kernel')
def prelu(flow: Flow, op: Op) -> Value:
    x, weight = op['self'], op['weight']
    if op.name == 'prelu' and len(weight.shape) == 1 and weight.shape[0] > 1:
        axis = flow.meet(x.dims[1], weight.dims[0])
        return Value(x.shape, [x.dims[0], axis, *x.dims[2:]], x.zero)
    return pointwise(flow, op, [x, weight], 'first')


@rule('copy')
def copy(flow: Flow, op: Op) -> Value:
    result = pointwise(flow, op, [op['self'], op['src']], 'never')
    result.zero = zero_flags(op['src'], op.shape)
    return result


@rule('fill', 'zero')
def fill(flow: Flow, op: Op) -> Value:
    x, value = op['self'], op.get('value', 0)
    return Value(x.shape, x.dims, [value == 0 if not isinstance(value, Value) else False] *
                 len(x.shape))


@rule('full', 'zeros', 'ones', 'new_zeros', 'new_ones', 'new_full', 'empty', 'new_empty',
      'empty_strided', 'new_empty_strided', 'scalar_tensor')
def same_everywhere(flow: Flow, op: Op) -> Value:
    """A tensor of one repeated number takes any channels; its size may still be a constant."""
    zero = op.name in ('zeros', 'new_zeros')
    return Value(op.shape, [flow.ids.axis(size, strong=False) for size in op.shape],
                 [zero] * len(op.shape))


@rule('full_like', 'zeros_like', 'ones_like', 'empty_like')
def like(flow: Flow, op: Op) -> Value:
    x = op['self']
    return Value(x.shape, x.dims, [op.name == 'zeros_like'] * len(x.shape))


@rule('arange', 'rand', 'randn', 'randint', 'eye', 'linspace', 'rand_like', 'randn_like',
      'randperm', 'tril_indices', 'triu_indices')
def position_dependent(flow: Flow, op: Op) -> Value:
    """Numbers that depend on the position are tied to the full size."""
    flow.freeze_all(op, 'random or counted numbers of the same shape')
    return Value(op.shape)


@rule('tril', 'triu')
def triangle(flow: Flow, op: Op) -> Value:
    x = op['self']
    for axis in x.dims[-2:]:
        flow.freeze(axis, f'{op.name} depends on positions')
    return Value(x.shape, [*x.dims[:-2], None, None], x.zero)


@rule('glu')
def glu(flow: Flow, op: Op) -> Value:
    x = op['self']
    k = op['dim'] % len(x.shape)
    half = x.shape[k] // 2
    dims = list(x.dims)
    dims[k] = flow.meet(flow.part(dims[k], 0, half), flow.part(dims[k], half, 2 * half))
    return Value(op.shape, dims, x.zero)
