# One clip of the length that tools/deploy.py is given, and of no other.
_base_ = './gait_onnxruntime_dynamic.py'
onnx_config = dict(dynamic_axes=None)
