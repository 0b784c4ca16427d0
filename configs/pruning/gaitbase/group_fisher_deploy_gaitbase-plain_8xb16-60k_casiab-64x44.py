#############################################################################
"""You have to fill these args.

_base_ (str): The config of your dense model.
fix_subnet (dict | str): The structure, or the fix_subnet.json that the pruning or
    finetune run has left.
prune_embedding (bool): As in the pruning config.
divisor (int): mmdeploy pads channel counts up to multiples of it. Padding
    costs compute: a structure pruned with a divisor needs none.
input_shape (tuple): Input shape to find the units.
"""

_base_ = '../../gait/gaitbase/gaitbase-plain_8xb16-60k_casiab-64x44.py'
fix_subnet = 'work_dirs/group_fisher_finetune_gaitbase-plain_8xb16-60k_casiab-64x44/fix_subnet.json'
prune_embedding = True
divisor = 1
input_shape = (1, 1, 6, 64, 44)
##############################################################################

architecture = _base_.model
architecture.tensor_output = 'logits' if prune_embedding else 'embedding'

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='CompressedModel',
    architecture=architecture,
    fix_subnet=fix_subnet,
    divisor=divisor,
    demo_input=input_shape,
)
