_base_ = 'detection_onnxruntime_static-640x640.py'
onnx_config = dict(output_names=['dets', 'labels', 'masks'])  # [1, n, 640, 640], of the input
