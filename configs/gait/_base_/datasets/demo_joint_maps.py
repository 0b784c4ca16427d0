_base_ = './demo.py'

# Synthetic walkers with two pickles of a sequence: maps of limbs and joints, and silhouettes.
dataset = dict(data_root='work_dirs/gait_joint_maps_demo', joint_maps=True)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
