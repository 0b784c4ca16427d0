_base_ = './_base_/onnxruntime.py'

codebase_config = dict(type='mmpretrain', task='Classification')
onnx_config = dict(
    output_names=['output'],
    dynamic_axes=dict(input={0: 'batch'}, output={0: 'batch'}))
