_base_ = [
    '../_base_/models/multigaitpp.py', '../_base_/datasets/gait3d_maps.py',
    '../_base_/schedules/sgd.py', '../_base_/runtime.py'
]

# The one pickle of a sequence has two channels: a silhouette and its body parts.
model = dict(backbone=dict(blocks=(1, 2, 2, 1)))
