_base_ = './silhouettes.py'

dataset = dict(type='Gait3DDataset', data_root='data/gait3d/', ann_file='Gait3D.json')
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=32), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='Gait3DMetric')
test_evaluator = val_evaluator
