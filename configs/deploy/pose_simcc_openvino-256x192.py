_base_ = './pose_simcc_onnxruntime_static-256x192.py'

backend_config = dict(
    type='openvino', model_inputs=[dict(opt_shapes=dict(input=[1, 3, 256, 192]))])
