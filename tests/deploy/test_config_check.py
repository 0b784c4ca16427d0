"""Deploy configs with values that cannot be: named, before anything is built."""
from __future__ import annotations

import copy
from typing import Any

import pytest
from mmengine.config import Config

from razor_ext.deploy.config_check import check_deploy_config
from razor_ext.deploy.convert import Conversion
from razor_ext.deploy.errors import DeployError

GOOD = dict(
    codebase_config=dict(type='mmpose', task='PoseDetection'),
    backend_config=dict(type='onnxruntime'),
    onnx_config=dict(type='onnx', save_file='end2end.onnx', input_shape=[192, 256]))


def changed(key: str, value: Any) -> Config:
    content = copy.deepcopy(GOOD)
    *parents, last = key.split('.')
    target: Any = content
    for parent in parents:
        target = target[parent]
    target[last] = value
    return Config(content)


@pytest.mark.parametrize('path', ['pose_simcc_tensorrt-256x192', 'gait_tensorrt_dynamic',
                                  'gait_onnxruntime_static', 'pose_simcc_openvino-256x192'])
def test_what_is_shipped_is_accepted(path: str) -> None:
    Conversion(Config.fromfile(f'configs/deploy/{path}.py'), Config(dict(model={})), 'none.pth')


@pytest.mark.parametrize(('key', 'value'), [
    ('codebase_config', None), ('codebase_config.type', 3), ('codebase_config.task', 'Cooking'),
    ('backend_config', []), ('backend_config.type', 'abacus'),
    ('backend_config.model_inputs', 3), ('backend_config.model_inputs', [3]),
    ('backend_config.model_inputs', [dict(input_shapes=dict(input=dict(min_shape=[1, -3])))]),
    ('onnx_config', 'onnx'), ('onnx_config.type', None), ('onnx_config.save_file', '../x.onnx'),
    ('onnx_config.save_file', ''), ('onnx_config.input_names', 'input'),
    ('onnx_config.output_names', ['a', 'a']), ('onnx_config.opset_version', 10 ** 9),
    ('onnx_config.opset_version', True), ('onnx_config.input_shape', [192, -1]),
    ('onnx_config.input_shape', [1, 2, 3]), ('onnx_config.dynamic_axes', dict(input={'x': 'y'})),
    ('onnx_config.dynamic_axes', dict(input=[99]))])
def test_what_cannot_be_is_named(key: str, value: Any) -> None:
    Conversion(Config(copy.deepcopy(GOOD)), Config(dict(model={})), 'none.pth')  # brings the tasks
    with pytest.raises(DeployError) as caught:
        check_deploy_config(changed(key, value))
    assert key in str(caught.value) and len(str(caught.value)) < 2000
