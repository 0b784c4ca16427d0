"""A deployed GaitBase in two files, to recognise people while they are still walking.

The set pooling is a maximum over frames, and a maximum of maxima is the maximum: the first file
turns any number of new frames into one map, the caller keeps the element-wise maximum of all maps
so far, and the second file turns it into the embedding. Nothing is computed twice or approximated.
"""
from __future__ import annotations

import os
from pathlib import Path

import onnx
from onnx import helper, numpy_helper
from onnx.utils import Extractor

from razor_ext.engine.errors import DeployError

#: The tensor between the two files.
SET_FEATURES = 'set_features'


def split_at_set_pooling(path: str | os.PathLike, folder: str | os.PathLike) -> tuple[Path, Path]:
    """Cut an exported frame-independent gait model behind its maximum over frames.

    Args:
        path: end2end.onnx of tools/deploy.py, float or of integers.
        folder: Where to write; it is created.

    Returns:
        ``frames.onnx``, silhouettes [n, 1, s, h, w] to features [n, c, h', w'], and ``head.onnx``,
        features to embeddings.

    Raises:
        DeployError: If the file has no maximum over frames or several (GaitSet), or mixes frames
            before it (GaitGL).
    """
    model = onnx.load(os.fspath(path))
    poolings = _set_poolings(model)
    if not poolings:
        raise DeployError(f'{os.fspath(path)!r} has no maximum over frames; give the end2end.onnx '
                          'of a gait model')
    if len(poolings) > 1:
        raise DeployError(f'{os.fspath(path)!r} takes {len(poolings)} maxima over frames: there is '
                          'no one place to cut it. Stream GaitBase or the plain CNN instead')
    pooling, = poolings
    _refuse_clips(model, pooling, path)
    pooled = pooling.output[0]
    for node in model.graph.node:
        for values in (node.input, node.output):
            for index, value in enumerate(values):
                if value == pooled:
                    values[index] = SET_FEATURES
    del model.graph.value_info[:]
    model.graph.value_info.append(helper.make_tensor_value_info(
        SET_FEATURES, onnx.TensorProto.FLOAT, ['batch', 'channels', 'height', 'width']))
    extractor, folder = Extractor(model), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = folder / 'frames.onnx', folder / 'head.onnx'
    outputs = [value.name for value in model.graph.output]
    inputs = [value.name for value in model.graph.input]
    onnx.save(extractor.extract_model(inputs, [SET_FEATURES]), files[0])
    onnx.save(extractor.extract_model([SET_FEATURES], outputs), files[1])
    return files


def _set_poolings(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The maxima over dimension 2 alone."""
    found = []
    for node in model.graph.node:
        options = {item.name: item for item in node.attribute}
        if node.op_type == 'ReduceMax' and 'axes' in options and list(options['axes'].ints) == [2]:
            found.append(node)
    return found


def _refuse_clips(model: onnx.ModelProto, pooling: onnx.NodeProto, path: str | os.PathLike) -> None:
    """Refuse three-dimensional convolutions: they look at neighbouring frames."""
    dims = {item.name: len(item.dims) for item in model.graph.initializer}
    dims.update({node.output[0]: dims[node.input[0]] for node in model.graph.node
                 if node.op_type == 'DequantizeLinear' and node.input[0] in dims})
    dims.update({node.output[0]: numpy_helper.to_array(node.attribute[0].t).ndim
                 for node in model.graph.node
                 if node.op_type == 'Constant' and node.attribute[0].name == 'value'})
    for node in model.graph.node:
        if node.op_type == 'Conv' and dims.get(node.input[1]) == 5:
            raise DeployError(f'{os.fspath(path)!r} convolves over frames ({node.name or "a Conv"})'
                              ': its frames cannot be taken apart. Stream GaitBase or the plain '
                              'CNN instead')
