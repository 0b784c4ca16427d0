"""Which node of an exported graph is which product of two activations.

Such a node has no weight to know it by, and exporters and rewriters write attention in forms of
their own (a factor on the query, on both sides or behind the product). It is known by what it
multiplies: the operands of the torch model on an example, up to a positive factor.
"""
from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from razor_ext.quantization import float_mode, quantized_layers

from ..onnx_graph import with_outputs
from ..session import open_session

#: Values that are compared of one operand.
SAMPLES = 4096
TOLERANCE = 1e-3


@dataclass(frozen=True)
class ProductSamples:
    """What a torch model multiplies on one input.

    Args:
        feed: The input by name.
        operands: Layer and operand to the values that it had, call by call.
    """

    feed: Mapping[str, np.ndarray]
    operands: Mapping[tuple[str, str], list[np.ndarray]]


@dataclass(frozen=True)
class FoundProduct:
    """A product in a graph.

    Args:
        node: The node.
        factors: What each of its operands is of torch's.
    """

    node: onnx.NodeProto
    factors: tuple[float, float]


def sample(x: np.ndarray) -> np.ndarray:
    """Evenly spaced values of an array, with its number of elements in front."""
    flat = np.asarray(x, np.float64).reshape(-1)
    return np.concatenate([[flat.size], flat[::-(-flat.size // SAMPLES)]])


def record_products(model: nn.Module, run: Callable[[], object],
                    feed: Mapping[str, np.ndarray]) -> ProductSamples:
    """Run a quantized model in floating point and note the operands of its products.

    Args:
        model: Quantized model in eval mode.
        run: Runs it on the input.
        feed: The same input for the exported graph.
    """
    operands: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    handles = []
    for name, layer in quantized_layers(model):
        for operand in layer.product_operands():
            quantizer = layer.operand_quantizers().get(operand)
            if quantizer is not None:
                def note(_, args: tuple[Tensor], key: tuple[str, str] = (name, operand)) -> None:
                    operands[key].append(sample(args[0].detach().cpu().numpy()))
                handles.append(quantizer.register_forward_pre_hook(note))
    try:
        with torch.no_grad(), float_mode(model):
            run()
    finally:
        for handle in handles:
            handle.remove()
    return ProductSamples(feed, operands)


def locate_products(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto],
                  samples: ProductSamples) -> Callable[[str, str, str], list[FoundProduct]]:
    """Compute the operands of products, to find those of torch among them.

    Args:
        model: Float graph.
        nodes: Its products of two activations.
        samples: What torch multiplies.

    Returns:
        A function from a layer and the names of its left and right operand to the nodes of their
        product, one for each call; fewer where the graph has not all. A node is given once.
    """
    left = list(nodes)
    names = list(dict.fromkeys(value for node in left for value in node.input[:2]))
    session = open_session(with_outputs(model, names).SerializeToString(), threads=0)
    values = {name: sample(value) for name, value in
              zip(names, session.run(names, dict(samples.feed)))} if names else {}

    def find(layer: str, *operands: str) -> list[FoundProduct]:
        found = []
        for wanted in zip(*(samples.operands.get((layer, operand), []) for operand in operands)):
            for node in left:
                factors = tuple(_factor(mine, values[value])
                                for mine, value in zip(wanted, node.input))
                if factors[0] and factors[1]:
                    found.append(FoundProduct(node, (factors[0], factors[1])))
                    left.remove(node)
                    break
        return found

    return find


def _factor(torch_sample: np.ndarray, other: np.ndarray) -> float:
    """The positive factor from one sample to another, 0 where there is none."""
    if torch_sample.shape != other.shape or torch_sample[0] != other[0]:
        return 0.0
    ours, theirs = torch_sample[1:], other[1:]
    norm = float(ours @ ours)
    factor = float(ours @ theirs) / norm if norm else 1.0
    near = np.abs(factor * ours - theirs).max() <= TOLERANCE * max(np.abs(theirs).max(), 1e-12)
    if not near or factor <= 0:
        return 0.0
    return 1.0 if abs(factor - 1) < 1e-4 else factor
