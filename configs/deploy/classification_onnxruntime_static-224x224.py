_base_ = './classification_onnxruntime_dynamic.py'

onnx_config = dict(input_shape=[224, 224], dynamic_axes=None)  # width, height
