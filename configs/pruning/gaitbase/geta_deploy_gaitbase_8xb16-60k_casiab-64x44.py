"""The compressed GaitBase as a deploy config of MMRazor's form, which MMDeploy's own tool takes.

tools/deploy.py needs none: it takes the folder of the run. Worth changing: model.fix_subnet,
model.divisor (MMDeploy pads channels to multiples of it; 1 where integers are deployed).
"""

_base_ = '../../gait/gaitbase/gaitbase_8xb16-60k_casiab-64x44.py'
model = dict(
    _delete_=True, type='mmrazor.CompressedModel', divisor=1,
    architecture=dict(_base_.model, tensor_output='logits'),
    fix_subnet='work_dirs/geta_finetune_gaitbase_8xb16-60k_casiab-64x44/compressed/fix_subnet.json')
