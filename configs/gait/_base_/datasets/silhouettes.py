# What the published data sets share. A config of one adds its dataset, its batch and its protocol.
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
loader = dict(num_workers=4, persistent_workers=True)
silhouettes = dict(data_prefix=dict(path='silhouettes'))

# batch_size is P x K over all ranks
train_dataloader = dict(
    loader,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='TripletBatchSampler', shuffle=True),
    dataset=dict(silhouettes, split='train', pipeline=train_pipeline))
val_dataloader = dict(
    loader,
    batch_size=4,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(silhouettes, split='test', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
