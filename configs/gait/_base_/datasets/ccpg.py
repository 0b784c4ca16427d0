_base_ = './silhouettes.py'

# A sequence has several pickles; number 0 holds its aligned silhouettes.
dataset = dict(
    type='CCPGDataset', data_root='data/ccpg/', ann_file='CCPG.json', data_in_use=0)
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=8), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='CCPGMetric')
test_evaluator = val_evaluator
