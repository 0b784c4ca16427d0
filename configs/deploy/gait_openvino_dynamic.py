_base_ = './gait_onnxruntime_dynamic.py'

backend_config = dict(
    type='openvino', model_inputs=[dict(opt_shapes=dict(input=[1, 1, 30, 64, 44]))])
