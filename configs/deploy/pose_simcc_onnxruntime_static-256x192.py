codebase_config = dict(type='mmpose', task='PoseDetection', export_postprocess=False)
backend_config = dict(type='onnxruntime')
onnx_config = dict(
    type='onnx',
    save_file='end2end.onnx',
    opset_version=13,  # per-channel quantization needs 13 or more
    export_params=True,
    keep_initializers_as_inputs=False,
    optimize=True,
    input_names=['input'],
    output_names=['simcc_x', 'simcc_y'],
    input_shape=[192, 256])  # width, height
