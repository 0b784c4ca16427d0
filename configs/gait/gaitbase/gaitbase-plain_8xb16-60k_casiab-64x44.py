_base_ = [
    '../_base_/models/gaitbase-plain.py', '../_base_/datasets/casiab.py',
    '../_base_/schedules/sgd.py', '../_base_/runtime.py'
]

param_scheduler = dict(milestones=[20000, 40000])
