#############################################################################
"""You have to fill these args.

_base_ (str): The config of your dense model.
fix_subnet (dict | str): The pruned structure, or the fix_subnet.json that the
    finetune run has left.
divisor (int): mmdeploy pads channel counts up to multiples of it. Padding
    costs compute: a structure pruned with a divisor needs none.
"""

_base_ = '../../pose/rtmpose-demo_synthetic-128x96.py'
fix_subnet = 'work_dirs/group_fisher_finetune_rtmpose-demo_synthetic-128x96/fix_subnet.json'
divisor = 1
##############################################################################

architecture = _base_.model

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='GroupFisherDeploySubModel',
    architecture=architecture,
    fix_subnet=fix_subnet,
    divisor=divisor,
)
