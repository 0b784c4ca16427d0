_base_ = './silhouettes.py'

dataset = dict(type='OUMVLPDataset', data_root='data/oumvlp/', ann_file='OUMVLP.json')
train_dataloader = dict(
    batch_size=256, batch_sampler=dict(subjects=32), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='OUMVLPMetric')
test_evaluator = dict(type='OUMVLPMetric', protocols=('single_view', 'cross_view'))
