# Synthetic walkers, rendered on first use.
data_root = 'work_dirs/gait_demo'

train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=False, num_frames=8),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='all'),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='TripletBatchSampler', subjects=8),
    dataset=dict(
        type='GaitDemoDataset', data_root=data_root, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='GaitDemoDataset',
        data_root=data_root,
        split='test',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='CASIABMetric')
test_evaluator = val_evaluator
