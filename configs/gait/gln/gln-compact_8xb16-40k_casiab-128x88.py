# The second of two phases: the compact block beside the weights of the first.
_base_ = './gln_8xb16-40k_casiab-128x88.py'

model = dict(head=dict(
    type='GLNHead', num_classes=74, compact_channels=256, dropout=0.9,
    loss_cls=dict(
        type='PartCrossEntropyLoss', scale=16, label_smoothing=0.1, loss_weight=0.1)))
optim_wrapper = dict(optimizer=dict(lr=0.01))
load_from = 'work_dirs/gln_8xb16-40k_casiab-128x88/iter_40000.pth'
