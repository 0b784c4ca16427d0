#############################################################################
"""You have to fill these args.

_base_ (str): The config of your dense model.
fix_subnet (dict | str): The structure, or the fix_subnet.json that the pruning or
    finetune run has left, whichever the algorithm.
divisor (int): mmdeploy pads channel counts up to multiples of it. Padding
    costs compute: a structure pruned with a divisor needs none. 1 for a
    quantized model, whose integers tools/deploy.py takes by --quant.
"""

_base_ = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_aic-coco-256x192.py'
fix_subnet = 'work_dirs/geta_finetune_rtmpose-s_8xb256-420e_aic-coco-256x192/fix_subnet.json'
divisor = 1
##############################################################################

custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)

architecture = _base_.model

model = dict(
    _delete_=True,
    _scope_='mmrazor',
    type='CompressedModel',
    architecture=architecture,
    fix_subnet=fix_subnet,
    divisor=divisor,
)
