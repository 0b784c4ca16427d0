_base_ = './silhouettes.py'

# A sequence has several pickles; number 2 holds its silhouettes.
dataset = dict(
    type='CCGRMiniDataset', data_root='data/ccgr-mini/', ann_file='CCGR-MINI.json', data_in_use=2)
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=32), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='CCGRMiniMetric')
test_evaluator = val_evaluator
