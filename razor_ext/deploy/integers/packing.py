"""Weights of four bits and fewer, stored two to a byte.

ONNX Runtime's CPU has no integer convolution of 4-bit weights: where a DequantizeLinear reads
INT4, the layer runs in floating point and its weight is unpacked in every run, which is several
times slower than INT8. So the file holds INT4 and a Cast to INT8 in front of the DequantizeLinear.
The Cast is folded away when the file is loaded; from there the model is the unpacked one, bit for
bit.
"""
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, version_converter

from ..errors import DeployError
from ..onnx_graph import clone, opset_of

#: First opset with INT4, and the ONNX file version that has it.
OPSET, IR_VERSION = 21, 10
#: Weights below which the nodes take more bytes than packing saves.
SMALLEST = 512
LARGEST = 7


@dataclass(frozen=True)
class Packed:
    """A graph with packed weights.

    Args:
        model: The graph.
        names: Weights that are packed; each is now the output of a Cast.
    """

    model: onnx.ModelProto
    names: tuple[str, ...]


def raise_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert a float graph to the first opset with INT4; a later one is left alone.

    Raises:
        DeployError: If the installed onnx knows no INT4, or no way to the newer opset.
    """
    if not hasattr(TensorProto, 'INT4'):
        raise DeployError(f'onnx {onnx.__version__} knows no INT4; install onnx 1.16 or later, or '
                          'leave out --pack-int4')
    if opset_of(model) >= OPSET:
        return model
    try:
        raised = version_converter.convert_version(model, OPSET)
    except (RuntimeError, ValueError) as error:
        raise DeployError(f'the graph cannot be converted to opset {OPSET} ({error}); leave out '
                          '--pack-int4') from error
    raised.ir_version = max(raised.ir_version, IR_VERSION)
    return raised


def pack_int4(model: onnx.ModelProto) -> Packed:
    """Store narrow INT8 weights as INT4, where that makes the file smaller.

    Args:
        model: Graph with Q/DQ pairs, of opset 21 or later; left alone.

    Returns:
        The new graph.

    Raises:
        DeployError: If there is no such weight.
    """
    packed = clone(model)
    graph = packed.graph
    weights = {node.input[0] for node in graph.node if node.op_type == 'DequantizeLinear'}
    kept, casts, names = [], [], []
    for item in graph.initializer:
        narrow = _narrow(item) if item.name in weights else None
        if narrow is None:
            kept.append(item)
            continue
        integers, factor = narrow
        stored = f'{item.name}_4'
        kept.append(helper.make_tensor(stored, TensorProto.INT4, integers.shape,
                                       _two_to_a_byte(integers), raw=True))
        names.append(item.name)
        if factor == 1:
            casts.append(helper.make_node('Cast', [stored], [item.name], to=TensorProto.INT8))
            continue
        wide, times = f'{item.name}_i', f'~times{factor}'
        casts += [helper.make_node('Cast', [stored], [wide], to=TensorProto.INT32),
                  helper.make_node('Mul', [wide, times], [f'{wide}x']),
                  helper.make_node('Cast', [f'{wide}x'], [item.name], to=TensorProto.INT8)]
        if all(other.name != times for other in kept):
            kept.append(numpy_helper.from_array(np.asarray(factor, np.int32), times))
    if not names:
        raise DeployError(f'no weight of at least {SMALLEST} elements has 4 bits or fewer: there '
                          'is nothing for --pack-int4')
    nodes = [*casts, *graph.node]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    onnx.checker.check_model(packed)
    return Packed(packed, tuple(names))


def _narrow(item: onnx.TensorProto) -> tuple[np.ndarray, int] | None:
    """Integers within four bits and the power of two they were multiplied by, if it is so."""
    if item.data_type != TensorProto.INT8 or np.prod(item.dims) < SMALLEST:
        return None
    integers = numpy_helper.to_array(item).astype(np.int64)
    factor = 1
    while np.abs(integers).max() > LARGEST and not (integers % 2).any():
        integers, factor = integers // 2, factor * 2
    return (integers, factor) if np.abs(integers).max() <= LARGEST else None


def _two_to_a_byte(integers: np.ndarray) -> bytes:
    """ONNX's layout: the first of two in the low half, an odd end filled with zero."""
    halves = integers.reshape(-1).astype(np.int8).view(np.uint8) & 15
    halves = np.append(halves, np.zeros(halves.size % 2, np.uint8))
    return (halves[0::2] | halves[1::2] << 4).astype(np.uint8).tobytes()
