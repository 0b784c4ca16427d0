"""Nodes that quantize and dequantize, and the constants they read."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .grids import Grid

MICROSOFT = 'com.microsoft'


class QuantizerNodes:
    """A growing list of nodes with the tensors they store.

    New names begin with ~, which no exporter uses, and are short: they are a part of the file's
    size.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        #: Tensor (of the float graph, or a copy on another grid) -> its integers.
        self.names: dict[str, str] = {}
        self._initializers: dict[str, np.ndarray] = {}
        self._constants: dict[tuple, str] = {}
        self._contrib = False

    def new_name(self, kind: str) -> str:
        """A name that is not taken; the next tensor must be quantized under it."""
        return f'~{kind}{len(self.names)}'

    def constant(self, array: np.ndarray) -> str:
        """Name of a small constant; equal ones are stored once."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f'~c{len(self._constants)}'
            self._initializers[self._constants[key]] = array
        return self._constants[key]

    def quantize(self, value: str, grid: Grid, output: str) -> None:
        """Quantize a float tensor and dequantize it again under another name."""
        scale = self.constant(np.asarray(grid.scale, np.float32))
        zero = self.constant(np.asarray(grid.zero_point, grid.container))
        integers = self.names[output] = self.new_name('q')
        clips = not grid.fills_container
        if clips and not grid.is_integer:  # ONNX Runtime has no Clip of uint16
            limits = [self.constant(grid.dequantize(np.asarray(limit)))
                      for limit in (grid.low, grid.high)]
            self.nodes.append(helper.make_node('Clip', [value, *limits], [f'{integers}_clipped']))
            value, clips = f'{integers}_clipped', False
        wide = f'{integers}_wide' if clips else integers
        self.nodes.append(helper.make_node('QuantizeLinear', [value, scale, zero], [wide],
                                           domain=self._domain(grid.container)))
        if clips:
            limits = [self.constant(np.asarray(limit, grid.container))
                      for limit in (grid.low, grid.high)]
            self.nodes.append(helper.make_node('Clip', [wide, *limits], [integers]))
        self._dequantize(integers, scale, zero, output, grid.container)

    def store(self, key: str, integers: np.ndarray, container: type, scale: np.ndarray,
              axis: int) -> str:
        """Store integers with their DequantizeLinear.

        Args:
            key: Entry of `names`.
            integers: The integers.
            container: Type they are stored in.
            scale: One step, or one per index of `axis`.
            axis: Axis of the steps.

        Returns:
            Name of the float tensor.
        """
        stored = self.new_name('w')
        self.names[key] = stored
        scale = scale.astype(np.float32)
        per_tensor = scale.size == 1
        self._initializers[stored] = integers.astype(container)
        self._dequantize(stored, self.constant(scale.reshape(()) if per_tensor else scale),
                         self.constant(np.zeros([] if per_tensor else scale.shape, container)),
                         f'{stored}_float', container, **({} if per_tensor else {'axis': axis}))
        return f'{stored}_float'

    def _dequantize(self, stored: str, scale: str, zero: str, output: str, container: str | type,
                    **options: Any) -> None:
        self.nodes.append(helper.make_node('DequantizeLinear', [stored, scale, zero], [output],
                                           domain=self._domain(container), **options))

    def _domain(self, container: str | type) -> str:
        """16-bit containers are ONNX Runtime's own below opset 21."""
        if np.dtype(container).itemsize == 2:
            self._contrib = True
            return MICROSOFT
        return ''

    def assemble(self, source: onnx.ModelProto) -> onnx.ModelProto:
        """Make a graph of the nodes, with the inputs, outputs and stored tensors of another."""
        used = {value for node in self.nodes for value in node.input}
        used |= {value.name for value in source.graph.output}
        stored = [item for item in source.graph.initializer if item.name in used]
        stored += [numpy_helper.from_array(np.asarray(array), name)
                   for name, array in self._initializers.items()]
        graph = helper.make_graph(self.nodes, source.graph.name, source.graph.input,
                                  source.graph.output, stored)
        opsets = list(source.opset_import)
        if self._contrib:
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=source.ir_version)
        onnx.checker.check_model(model)
        return model
