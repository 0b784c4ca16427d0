# The box thresholds are those of the model's test_cfg; post_processing bounds what it leaves open.
codebase_config = dict(
    type='mmdet', task='ObjectDetection', model_type='end2end',
    post_processing=dict(
        score_threshold=0.05,
        confidence_threshold=0.005,
        iou_threshold=0.5,
        max_output_boxes_per_class=300,
        pre_top_k=5000,
        keep_top_k=300,
        background_label_id=-1))
backend_config = dict(type='onnxruntime')
onnx_config = dict(
    type='onnx',
    save_file='end2end.onnx',
    opset_version=13,  # per-channel quantization needs 13 or more
    export_params=True,
    keep_initializers_as_inputs=False,
    optimize=True,
    input_names=['input'],
    output_names=['dets', 'labels'],  # [1, n, 5]: corners and score; [1, n]
    input_shape=[640, 640])  # width, height, as the test pipeline pads
