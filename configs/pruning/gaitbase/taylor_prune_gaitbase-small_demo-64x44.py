"""Taylor scores prune half of the MACs of a small GaitBase at once, then it is trained on.

Worth changing: model.checkpoint, model.target.ratio, model.divisor, model.schedule.end (above
begin: gradually until there), optim_wrapper.lr_ratio.
"""

_base_ = ['../../gait/gaitbase/gaitbase-small_demo-64x44.py', '../_base_/taylor.py']
model = dict(
    _base_.taylor, _delete_=True, architecture=dict(_base_.model, tensor_output='logits'),
    checkpoint='work_dirs/gaitbase-small_demo-64x44/iter_800.pth', divisor=4)
optim_wrapper = dict(_base_.taylor_optim, lr_ratio=0.2)
default_hooks = dict(_base_.taylor_hooks, checkpoint=dict(interval=400))
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = dict(milestones=[280, 360])
