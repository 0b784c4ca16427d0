data_root = 'data/gait3d/'

train_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='fixed', ordered=False, num_frames=30),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]
test_pipeline = [
    dict(type='LoadSilhouettes'),
    dict(type='SampleFrames', mode='all', limit=720),
    dict(type='CropSides'),
    dict(type='PackGaitInputs'),
]

# batch_size is P x K over all ranks
train_dataloader = dict(
    batch_size=128,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='TripletBatchSampler', subjects=32),
    dataset=dict(
        type='Gait3DDataset',
        data_root=data_root,
        ann_file='Gait3D.json',
        data_prefix=dict(path='silhouettes'),
        split='train',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='Gait3DDataset',
        data_root=data_root,
        ann_file='Gait3D.json',
        data_prefix=dict(path='silhouettes'),
        split='test',
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='Gait3DMetric')
test_evaluator = val_evaluator
