_base_ = './_base_/onnxruntime.py'

codebase_config = dict(type='mmpose', task='PoseDetection', export_postprocess=False)
onnx_config = dict(
    output_names=['simcc_x', 'simcc_y'],
    input_shape=[192, 256])  # width, height
