"""Finetunes what MMRazor's GroupFisher has left of RTMPose-s.

Worth changing: model.algorithm.init_cfg.checkpoint (of the pruning run), optim_wrapper.lr_ratio.
"""

_base_ = './group_fisher_mmrazor_prune_rtmpose-s_8xb256-420e_coco-256x192.py'
model = dict(
    _delete_=True, _scope_='mmrazor', type='GroupFisherSubModel', divisor=1,
    algorithm=dict(_base_.model, init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/group_fisher_mmrazor_prune_rtmpose-s_8xb256-420e_coco-256x192/flops_0.51.pth')))
optim_wrapper = dict(lr_ratio=1.0)
default_hooks = dict(structure=None, resource=None)
model_wrapper_cfg = None
