# What every exported file shares; a config adds the codebase, and the names and shape of the graph.
backend_config = dict(type='onnxruntime')
onnx_config = dict(
    type='onnx',
    save_file='end2end.onnx',
    opset_version=13,  # per-channel quantization needs 13 or more
    export_params=True,
    keep_initializers_as_inputs=False,
    optimize=True,
    input_names=['input'],
    input_shape=None)
