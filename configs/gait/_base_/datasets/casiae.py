_base_ = './silhouettes.py'

dataset = dict(type='CASIAEDataset', data_root='data/casia-e/', ann_file='CASIA-E.json')
train_dataloader = dict(
    batch_size=256, batch_sampler=dict(subjects=8), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='CASIAEMetric')
test_evaluator = val_evaluator
