"""Size, parameters and multiply-accumulates of a torch model and of its ONNX file."""
from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from math import prod

import numpy as np
import onnx
import torch
from torch import nn

from .integers.alignment import filled_channels
from .onnx_graph import CONTRACTIONS, has_flag, with_outputs
from .session import open_session, random_feed


def count_torch(model: nn.Module, forward: Callable[[], object]) -> dict[str, int]:
    """Count as MMRazor and the published tables do: modules only, no product of activations.

    Args:
        model: Static model.
        forward: Runs the model once on a batch of 1.

    Returns:
        ``params`` and ``macs``.
    """
    from mmrazor.models.task_modules.estimators.counters.flops_params_counter import (
        add_flops_params_counting_methods,
        is_supported_instance,
    )
    counted = add_flops_params_counting_methods(model)
    counted.start_flops_params_count(None)
    try:
        with torch.no_grad():
            forward()
        macs = sum(module.__flops__ for module in counted.modules()
                   if is_supported_instance(module))
    finally:
        counted.stop_flops_params_count()
    return {'params': sum(parameter.numel() for parameter in model.parameters()), 'macs': int(macs)}


def count_onnx(path: str | os.PathLike,
               feed: Mapping[str, np.ndarray] | None = None) -> dict[str, int]:
    """Count an ONNX file: convolutions, Gemm and MatMul, products of activations included.

    Args:
        path: File.
        feed: Inputs to count for; random ones of batch 1 if None.

    Returns:
        ``bytes``, ``params`` (elements of all stored tensors of one or more dimensions) and
        ``macs``, without channels that are filled up with zeros.
    """
    model = onnx.load(os.fspath(path))
    nodes = [node for node in model.graph.node
             if node.op_type in (*CONTRACTIONS, 'ConvTranspose')]
    stored = {item.name: list(item.dims) for item in model.graph.initializer}
    # Shapes are read from one run: static inference loses them at the first computed Reshape.
    wanted = dict.fromkeys(name for node in nodes for name in (*node.input[:2], node.output[0])
                           if name not in stored)
    session = open_session(with_outputs(model, wanted).SerializeToString(), threads=1)
    feed = random_feed(session) if feed is None else dict(feed)
    computed = [name for name in wanted if name not in feed]
    shapes = {name: list(array.shape)
              for name, array in [*zip(computed, session.run(computed, feed)), *feed.items()]}
    shapes.update(stored)
    filled = filled_channels(model)
    return {'bytes': os.path.getsize(path),
            'params': sum(prod(dims) for dims in stored.values() if dims),
            'macs': sum(_node_macs(node, shapes, filled.get(node.output[0], 0))
                        for node in nodes)}


def _node_macs(node: onnx.NodeProto, shapes: dict[str, list[int]], filled: int) -> int:
    outputs = prod(shapes[node.output[0]])
    if node.op_type == 'Conv':
        channels, *kernel = shapes[node.input[1]][1:]
        return outputs * (channels - filled) * prod(kernel)
    if node.op_type == 'ConvTranspose':  # its weight is [in, out / group, *kernel]
        return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])
    return outputs * shapes[node.input[0]][0 if has_flag(node, 'transA') else -1]
