"""Matrix products."""
from __future__ import annotations

from ..flow import Flow, Op, Value
from .registry import rule


def product(flow: Flow, x: Value, w: Value, shape: tuple[int, ...]) -> Value:
    """`x @ w` for matrices or batches of matrices of one rank."""
    flow.contract(x, len(x.shape) - 1, w, len(w.shape) - 2)
    rank = len(shape)
    dims = [flow.meet(x.dims[i], w.dims[i]) for i in range(rank - 2)]
    zero = [x.zero[i] or w.zero[i] for i in range(rank - 2)]
    sizes = list(zip(shape, [*dims, x.dims[-2], w.dims[-1]]))
    flow.count([*sizes, (x.shape[-1], x.dims[-1])], w.leaf_dim(-1))
    return Value(shape, [*dims, x.dims[-2], w.dims[-1]], [*zero, x.zero[-2], w.zero[-1]])


def add_bias(flow: Flow, result: Value, bias: Value) -> Value:
    """Add a bias that broadcasts against the product."""
    for i in range(1, len(result.shape) + 1):
        if i <= len(bias.shape) and bias.shape[-i] == result.shape[-i]:
            result.dims[-i] = flow.meet(result.dims[-i], bias.dims[-i])
            result.zero[-i] = result.zero[-i] and bias.zero[-i]
        else:
            result.zero[-i] = False
    return result


@rule('mm')
def mm(flow: Flow, op: Op) -> Value:
    return product(flow, op['self'], op['mat2'], op.shape)


@rule('bmm')
def bmm(flow: Flow, op: Op) -> Value:
    return product(flow, op['self'], op['mat2'], op.shape)


@rule('addmm')
def addmm(flow: Flow, op: Op) -> Value:
    return add_bias(flow, product(flow, op['mat1'], op['mat2'], op.shape), op['self'])


@rule('baddbmm')
def baddbmm(flow: Flow, op: Op) -> Value:
    return add_bias(flow, product(flow, op['batch1'], op['batch2'], op.shape), op['self'])


@rule('mv')
def mv(flow: Flow, op: Op) -> Value:
    x, vector = op['self'], op['vec']
    flow.contract(x, 1, vector, 0)
    flow.count([(x.shape[0], x.dims[0]), (x.shape[1], x.dims[1])])
    return Value(op.shape, [x.dims[0]], [x.zero[0]])


@rule('dot')
def dot(flow: Flow, op: Op) -> Value:
    x, other = op['self'], op['tensor']
    flow.contract(x, 0, other, 0)
    flow.count([(x.shape[0], x.dims[0])])
    return Value(op.shape)


@rule('linear')
def linear(flow: Flow, op: Op) -> Value:
    x, weight, bias = op['input'], op['weight'], op.get('bias')
    flow.contract(x, len(x.shape) - 1, weight, 1)
    flow.count([*zip(x.shape[:-1], x.dims[:-1]), (weight.shape[0], weight.dims[0]),
                (weight.shape[1], weight.dims[1])], weight.leaf_dim(0))
    result = Value(op.shape, [*x.dims[:-1], weight.dims[0]], [*x.zero[:-1], weight.zero[0]])
    return result if bias is None else add_bias(flow, result, bias)
