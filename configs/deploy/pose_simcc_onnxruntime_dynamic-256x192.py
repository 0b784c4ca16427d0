_base_ = './pose_simcc_onnxruntime_static-256x192.py'

onnx_config = dict(
    dynamic_axes=dict(input={0: 'batch'}, simcc_x={0: 'batch'}, simcc_y={0: 'batch'}))
