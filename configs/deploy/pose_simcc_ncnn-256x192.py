_base_ = './pose_simcc_onnxruntime_static-256x192.py'

backend_config = dict(type='ncnn', precision='FP32', use_vulkan=False)
