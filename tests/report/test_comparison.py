"""The before/after table."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from razor_ext.engine import write_json
from razor_ext.report import Stage, compare


def _stage(folder: Path, name: str, width: int, metric: float, file_metric: float | None = None
           ) -> Stage:
    weight = numpy_helper.from_array(np.ones((64, width), np.float32), 'w')
    graph = helper.make_graph(
        [helper.make_node('MatMul', ['x', 'w'], ['y'])], 'g',
        [helper.make_tensor_value_info('x', TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, [1, width])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    (folder / name).mkdir()
    onnx.save(model, folder / name / 'end2end.onnx')
    write_json(folder / name / 'report.json', {
        'torch': {'params': 64 * width, 'macs': 64 * width}, 'onnx': {'bytes': 256 * width},
        'parity': [{'max_abs': 1e-6}, {'max_abs': 3e-6}],
        'accuracy': {} if file_metric is None else {'onnx': {'coco/AP': file_metric}}})
    write_json(folder / name / 'metrics.json', {'coco/AP': metric})
    return Stage(name, folder / name, folder / name / 'metrics.json')


def test_every_figure_stands_under_its_model(tmp_path: Path) -> None:
    stages = [_stage(tmp_path, 'dense', 64, 0.61), _stage(tmp_path, 'pruned', 32, 0.59, 0.58)]
    rows = {line.split('|')[1].strip(): [cell.strip() for cell in line.split('|')[2:-1]]
            for line in compare(stages, [], rounds=3).splitlines() if '|' in line}
    assert rows['coco/AP'] == ['0.6100', '0.5900']
    assert rows['bit operations (G)'] == ['0.00', '0.00']
    assert rows['coco/AP of the file'] == ['', '0.5800']
    assert rows['parameters'] == ['4,096', '2,048']
    assert rows['ONNX against torch'] == ['3.0e-06', '3.0e-06']
    assert rows['times faster'][0] == '1.00 / 1.00 / 1.00'


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    stage = _stage(tmp_path, 'dense', 8, 0.5)
    with pytest.raises(KeyError, match="no metric 'AUC'"):
        compare([stage], ['AUC'], rounds=1)
    (tmp_path / 'dense' / 'report.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'report\.json.*tools/deploy\.py'):
        compare([stage], ['coco/AP'], rounds=1)
