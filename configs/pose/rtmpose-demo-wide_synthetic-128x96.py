# The RTMPose of tools/demo.sh, twice as wide: large enough that integers are faster than floats.
_base_ = './rtmpose-demo_synthetic-128x96.py'

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=.01, by_epoch=False, begin=0, end=60),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True)]
model = dict(backbone=dict(widen_factor=.5), head=dict(in_channels=256))
