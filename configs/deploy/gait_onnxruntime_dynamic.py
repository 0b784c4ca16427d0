_base_ = './_base_/onnxruntime.py'

codebase_config = dict(
    type='razor_ext', task='GaitRecognition', module=['razor_ext.gait.deploy.codebase'])
onnx_config = dict(
    output_names=['embedding'],
    dynamic_axes=dict(input={0: 'batch', 2: 'frames'}, embedding={0: 'batch'}))
