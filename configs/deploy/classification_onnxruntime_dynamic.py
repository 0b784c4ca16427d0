codebase_config = dict(type='mmpretrain', task='Classification')
backend_config = dict(type='onnxruntime')
onnx_config = dict(
    type='onnx',
    save_file='end2end.onnx',
    opset_version=13,  # per-channel quantization needs 13 or more
    export_params=True,
    keep_initializers_as_inputs=False,
    optimize=True,
    input_names=['input'],
    output_names=['output'],
    input_shape=None,
    dynamic_axes=dict(input={0: 'batch'}, output={0: 'batch'}))
