_base_ = './silhouettes.py'

dataset = dict(type='CASIABDataset', data_root='data/casia-b/', ann_file='CASIA-B.json')
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=8), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='CASIABMetric')
test_evaluator = dict(type='CASIABMetric', protocols=('single_view', 'cross_view'))
