_base_ = './silhouettes.py'

dataset = dict(type='GREWDataset', data_root='data/grew/', ann_file='GREW.json')
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=32), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='GREWSubmission', path='work_dirs/grew/submission.csv')
test_evaluator = val_evaluator
