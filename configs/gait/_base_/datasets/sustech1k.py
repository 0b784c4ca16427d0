_base_ = './silhouettes.py'

# A sequence has several pickles; number 6 holds its aligned silhouettes.
dataset = dict(
    type='SUSTech1KDataset', data_root='data/sustech1k/', ann_file='SUSTech1K.json', data_in_use=6)
train_dataloader = dict(
    batch_size=64, batch_sampler=dict(subjects=8), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='SUSTech1KMetric')
test_evaluator = val_evaluator
