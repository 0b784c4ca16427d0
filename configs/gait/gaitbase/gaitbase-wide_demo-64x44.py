# The GaitBase of tools/demo.sh: wide enough that integers are faster than floats.
_base_ = './gaitbase-small_demo-64x44.py'

model = dict(backbone=dict(channels=(16, 32, 64, 64)))
param_scheduler = dict(milestones=[250, 350])
train_cfg = dict(max_iters=400, val_interval=400)
default_hooks = dict(checkpoint=dict(interval=100))
