_base_ = [
    '../_base_/models/gaitset.py', '../_base_/datasets/casiab.py', '../_base_/schedules/sgd.py',
    '../_base_/runtime.py'
]

param_scheduler = dict(milestones=[10000, 20000, 30000])
train_cfg = dict(max_iters=40000)
# published training does not synchronise, and there is no BatchNorm
sync_bn = None
