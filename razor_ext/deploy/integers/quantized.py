"""From a float export and quant.json to a graph of integers, with the proof that it is the same."""
from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from razor_ext.quantization import apply_quant, load_quant

from ..errors import DeployError
from ..onnx_graph import keep_outputs, with_outputs
from ..parity import OutputParity, TorchRun, check_parity, run_torch
from .audit import audit, float_operators
from .grids import LayerGrids, layer_grids
from .layer_parity import LayerParity, compare_layers, require_layers
from .packing import pack_int4, raise_opset
from .products import ProductSamples, record_products
from .qdq import insert_qdq
from .symmetric import check_pattern, insert_symmetric_qdq, require_symmetric


@dataclass(frozen=True)
class QuantizedExport:
    """An exported graph of integers and what is known about it.

    Args:
        model: The graph.
        on_grids: The float graph with the weights' values on their grids, which are not the float
            weights where an exponent or a range was learned.
        reference: The fake-quantized torch model.
        floating: Why a layer runs in floating point, by layer.
        packed: Layers whose weights are stored as INT4.
        operators: Operators ONNX Runtime runs, and how often.
        layers: Three-way parity of every integer layer.
        calibration: Calibration inputs by name.
        outputs: Agreement of the outputs with the fake-quantized torch model, on the inputs.
        calibrated: The same on the calibration inputs, or on the inputs if there are none.
    """

    model: onnx.ModelProto
    on_grids: onnx.ModelProto
    reference: nn.Module
    floating: dict[str, str]
    packed: tuple[str, ...]
    operators: dict[str, int]
    layers: list[LayerParity]
    calibration: list[dict[str, np.ndarray]]
    outputs: list[OutputParity]
    calibrated: list[OutputParity]

    def as_dict(self) -> dict:
        """The figures, for a JSON file."""
        return {'integer_layers': [row.as_dict() for row in self.layers],
                'float_layers': self.floating, 'packed_layers': list(self.packed),
                'operators': self.operators,
                'float_operators': float_operators(self.operators),
                'parity_with_fake_quantization': [row.as_dict() for row in self.outputs],
                'parity_on_calibration': [row.as_dict() for row in self.calibrated]}


@dataclass(frozen=True)
class IntegerForm:
    """A form in which integers are written into an ONNX graph.

    Args:
        name: What it is called.
        write: Writes and checks it, see :func:`quantize_export`.
        check: Raises a DeployError for a quant.json that has no such form.
    """

    name: str
    write: Callable[..., QuantizedExport]
    check: Callable[[Mapping], None] = lambda spec: None


def quantize_export(float_file: str | os.PathLike, model: nn.Module, quant_file: str | os.PathLike,
                    calibration: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor],
                    pack: bool = False, run: TorchRun = run_torch) -> QuantizedExport:
    """Write the grids of quant.json into an exported graph, and check every layer.

    Args:
        float_file: Graph exported from `model`.
        model: Float torch model in eval mode, sliced and loaded; left alone.
        quant_file: quant.json of the run that made the weights.
        calibration: Inputs that show the ranges of tensors between layers.
        inputs: Inputs to compare on.
        pack: Store weights of four bits and fewer two to a byte, which takes opset 21.
        run: What runs the fake-quantized torch model to compare the outputs.

    Returns:
        The new graph and its figures.

    Raises:
        DeployError: If there is nothing to calibrate on or the parts do not belong together.
        QuantFileError: If quant.json does not fit the model.
        AuditError: If ONNX Runtime leaves an integer layer in floating point.
        ParityError: If a layer differs by more than one step.
    """
    if not calibration:
        raise DeployError('no calibration image: give some with --calib-img, or a data set with '
                          '--calib-dataset-cfg')
    reference, layers, floating = _fake_quantized(model, load_quant(quant_file), inputs[0],
                                                 run)
    graph = onnx.load(Path(float_file))
    graph = raise_opset(graph) if pack else graph
    name = graph.graph.input[0].name
    feeds = [{name: batch.cpu().numpy()} for batch in calibration]
    exported = insert_qdq(with_outputs(graph, getattr(run, 'inner', ())), layers, feeds,
                          _samples(reference, name, inputs[0], run))
    count = len(graph.graph.output)
    exported = replace(exported, model=keep_outputs(exported.model, count),
                       on_grids=keep_outputs(exported.on_grids, count))
    packed: tuple[str, ...] = ()
    if pack:
        result = pack_int4(exported.model)
        exported = replace(exported, model=result.model)
        packed = tuple(layer.match.layer.name for layer in exported.integer
                       if layer.stored_weight in result.names)
    operators = audit(exported.model, exported.integer)
    rows = compare_layers(exported, reference, [{name: batch.cpu().numpy()} for batch in inputs])
    require_layers(rows)
    outputs, calibrated = (check_parity(reference, exported.model.SerializeToString(), batches, run)
                           for batches in (inputs, calibration))
    return QuantizedExport(exported.model, exported.on_grids, reference,
                           {**floating, **exported.floating}, packed, operators, rows, feeds,
                           outputs, calibrated)


def quantize_symmetric(float_file: str | os.PathLike, model: nn.Module,
                       quant_file: str | os.PathLike, calibration: Sequence[torch.Tensor],
                       inputs: Sequence[torch.Tensor], pack: bool = False,
                       run: TorchRun = run_torch) -> QuantizedExport:
    """Write the grids of quant.json into an exported graph in the form TensorRT reads.

    The form is checked, and ONNX Runtime, which computes it in floating point, is compared with
    torch's fake quantization. An engine is neither built nor run here.

    Args:
        float_file: Graph exported from `model`.
        model: Float torch model in eval mode, sliced and loaded; left alone.
        quant_file: quant.json of the run that made the weights.
        calibration: Inputs to compare the outputs on as well; what is between layers stays float.
        inputs: Inputs to compare on.
        pack: Must be False.
        run: What runs the fake-quantized torch model to compare the outputs.

    Returns:
        The new graph and its figures.

    Raises:
        DeployError: If a grid has no symmetric int8 form, the parts do not belong together, or
            `pack` is set.
        QuantFileError: If quant.json does not fit the model.
        AuditError: If the graph has not the form.
    """
    if pack:
        raise DeployError('symmetric pairs are not packed; leave out --pack-int4')
    spec = load_quant(quant_file)
    require_symmetric(spec)
    reference, layers, floating = _fake_quantized(model, spec, inputs[0], run)
    plain = onnx.load(Path(float_file))
    graph = insert_symmetric_qdq(
        plain, layers, _samples(reference, plain.graph.input[0].name, inputs[0], run))
    pairs = check_pattern(graph)
    floating.update({layer.name: layer.refused for layer in layers if layer.refused})
    outputs, calibrated = (check_parity(reference, graph.SerializeToString(), batches, run)
                           for batches in (inputs, calibration or inputs))
    return QuantizedExport(graph, graph, reference, floating, (), pairs, [], [], outputs,
                           calibrated)


#: On the trained grids, zero points included, with grids for what is between layers.
ON_GRIDS = IntegerForm('Q/DQ on the trained grids', quantize_export)
#: In front of inputs and weights alone.
SYMMETRIC = IntegerForm('symmetric Q/DQ pairs', quantize_symmetric, require_symmetric)


def _fake_quantized(model: nn.Module, spec: Mapping, batch: torch.Tensor, run: TorchRun,
                    ) -> tuple[nn.Module, list[LayerGrids], dict[str, str]]:
    """A fake-quantized copy, its layers that run, and why some of those are not quantized."""
    reference = copy.deepcopy(model)
    apply_quant(reference, spec)
    reference.eval()
    ran = layers_that_run(reference, batch, run)
    return (reference, [layer for layer in layer_grids(reference) if layer.name in ran],
            {name: why for name, why in spec['float_layers'].items() if name in ran})


def _samples(reference: nn.Module, name: str, batch: torch.Tensor, run: TorchRun,
             ) -> ProductSamples:
    """What the products of a fake-quantized model multiply, in float, on one input."""
    return record_products(reference, lambda: run(reference, [batch]),
                           {name: batch.cpu().numpy()})


def layers_that_run(model: nn.Module, batch: torch.Tensor, run: TorchRun = run_torch) -> set[str]:
    """Names of the modules that a forward runs; a classifier for training alone is not exported.

    Args:
        model: Model in eval mode.
        batch: Its inputs.
        run: What runs it.
    """
    ran: set[str] = set()
    handles = [module.register_forward_pre_hook(lambda *_, name=name: ran.add(name))
               for name, module in model.named_modules()]
    try:
        run(model, [batch])
    finally:
        for handle in handles:
            handle.remove()
    return ran
