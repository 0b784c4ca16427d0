"""Write the integers of a quantized model into its ONNX graph, as QuantizeLinear pairs."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ..errors import DeployError
from ..onnx_graph import require_opset, stored_tensors
from .alignment import align_inputs
from .derived import fold_derived
from .grids import LayerGrids
from .integer_layer import QdqModel
from .match import match_layers
from .observe import fake_quantized, observe
from .plan_corrections import absorb_relu, keep_biases_apart, leave_pools_float, trim_gates
from .products import ProductSamples
from .qdq_plan import plan_grids
from .qdq_writer import QdqWriter
from .weights import FoldedWeight, graph_on_grids, refuse_wide_bias


def insert_qdq(model: onnx.ModelProto, layers: Sequence[LayerGrids],
               batches: Sequence[Mapping[str, np.ndarray]],
               samples: ProductSamples | None = None) -> QdqModel:
    """Turn a float graph into one that ONNX Runtime runs on integers.

    Args:
        model: Float graph, opset 13 or later, exported from the model without its quantizers.
        layers: Grids of the quantized layers.
        batches: Calibration inputs by name, for tensors between layers, which training gives no
            grid.
        samples: See :func:`match_layers`.

    Returns:
        The new graph; `model` is left alone.

    Raises:
        DeployError: If the opset is too old, there is nothing to calibrate on, or a layer is not
            in the graph.
    """
    require_opset(model)
    if not batches:
        raise DeployError('no calibration batch: tensors between layers need observed ranges')
    model = fold_derived(model, batches[0])
    stored = stored_tensors(model)
    matches = match_layers(model, layers, samples)
    plan = plan_grids(model, [refuse_wide_bias(match, stored) for match in matches])
    weights = {output: FoldedWeight.of(match) for output, match in plan.matches.items()
               if match.layer.integers is not None}
    on_grids = graph_on_grids(model, plan.matches, weights)
    plan.settle(observe(fake_quantized(on_grids, plan.operand), plan.unknown, batches))
    means = leave_pools_float(model, plan)
    trim_gates(model, plan)
    absorbed = absorb_relu(model, plan)
    sums = keep_biases_apart(model, plan)
    graph, integer, floating = QdqWriter(model, plan, weights, absorbed, means, sums).write()
    found = {match.layer.name for match in matches}
    for layer in layers:
        if layer.name not in found:
            floating[layer.name] = (layer.refused if layer.weight is None and layer.refused
                                    else 'its rows are constants of the graph, in float')
    return QdqModel(align_inputs(graph), integer, floating, on_grids)
