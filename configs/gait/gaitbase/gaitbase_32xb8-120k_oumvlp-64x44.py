_base_ = [
    '../_base_/models/gaitbase.py', '../_base_/datasets/oumvlp.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

model = dict(head=dict(num_classes=5153))
param_scheduler = dict(milestones=[60000, 80000, 100000])
train_cfg = dict(max_iters=120000)
