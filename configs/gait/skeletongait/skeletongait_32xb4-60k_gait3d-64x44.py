_base_ = [
    '../_base_/models/skeletongait.py', '../_base_/datasets/gait3d_maps.py',
    '../_base_/schedules/sgd.py', '../_base_/runtime.py'
]

model = dict(backbone=dict(blocks=(1, 4, 4, 1)))
# A sequence has two pickles; number 0 holds the maps of its joints.
dataset = dict(data_in_use=0)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader

param_scheduler = dict(milestones=[20000, 30000, 40000])
