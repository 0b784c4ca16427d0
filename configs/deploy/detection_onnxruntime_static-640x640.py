# The box thresholds are those of the model's test_cfg; post_processing bounds what it leaves open.
_base_ = './_base_/onnxruntime.py'

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
onnx_config = dict(
    output_names=['dets', 'labels'],  # [1, n, 5]: corners and score; [1, n]
    input_shape=[640, 640])  # width, height, as the test pipeline pads
