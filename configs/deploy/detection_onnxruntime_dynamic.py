_base_ = 'detection_onnxruntime_static-640x640.py'
onnx_config = dict(
    input_shape=None,
    dynamic_axes=dict(
        input={0: 'batch', 2: 'height', 3: 'width'}, dets={0: 'batch', 1: 'n'},
        labels={0: 'batch', 1: 'n'}))
