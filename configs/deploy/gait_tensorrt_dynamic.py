_base_ = './gait_onnxruntime_dynamic.py'

backend_config = dict(
    type='tensorrt',
    common_config=dict(fp16_mode=False, max_workspace_size=1 << 30),
    model_inputs=[
        dict(
            input_shapes=dict(
                input=dict(
                    min_shape=[1, 1, 3, 64, 44],
                    opt_shape=[1, 1, 30, 64, 44],
                    max_shape=[4, 1, 256, 64, 44])))
    ])
