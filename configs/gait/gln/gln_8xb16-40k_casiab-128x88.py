# Silhouettes of 128x128, as tools/gait/convert_dataset.py keeps them, lose 20 columns a side.
_base_ = [
    '../_base_/models/gln.py', '../_base_/datasets/casiab.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=True, num_frames=30),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = dict(milestones=[10000, 20000, 30000])
train_cfg = dict(max_iters=40000)
