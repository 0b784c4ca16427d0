#############################################################################
"""You have to fill these args.

_base_ (str): The config that deploys compressed models of your dense model.
fix_subnet (dict | str): The pruned structure, or the fix_subnet.json that the
    finetune run has left.
"""

_base_ = './geta_deploy_rtmpose-s_8xb256-420e_coco-256x192.py'
fix_subnet = 'work_dirs/group_fisher-head_finetune_rtmpose-s_8xb256-420e_coco-256x192/fix_subnet.json'
##############################################################################

model = dict(fix_subnet=fix_subnet)
