model = dict(
    type='GaitRecognizer',
    data_preprocessor=dict(type='GaitDataPreprocessor'),
    backbone=dict(type='GaitPlainCNN', channels=(32, 64, 128), out_indices=(0, 1, 2)),
    neck=dict(type='GaitSetNeck', channels=(32, 64, 128)),
    pooling=dict(type='HorizontalPyramidPooling', bins=(16, 8, 4, 2, 1)),
    head=dict(
        type='PartHead',
        in_channels=128,
        embed_channels=256,
        num_parts=62,
        loss_triplet=dict(type='PartTripletLoss', margin=0.2)))
