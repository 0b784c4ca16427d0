_base_ = './silhouettes.py'

dataset = dict(type='HIDDataset', data_root='data/hid/', ann_file='HID.json')
train_dataloader = dict(
    batch_size=128, batch_sampler=dict(subjects=16), dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

val_evaluator = dict(type='HIDSubmission', path='work_dirs/hid/submission.csv')
test_evaluator = val_evaluator
