_base_ = './pose_simcc_onnxruntime_static-256x192.py'

onnx_config = dict(input_shape=[96, 128])  # width, height
