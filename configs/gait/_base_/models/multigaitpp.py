model = dict(
    type='GaitRecognizer',
    data_preprocessor=dict(type='GaitDataPreprocessor'),
    backbone=dict(
        type='MultiGaitPPBackbone',
        inputs=(1, 1),
        channels=(64, 128, 256, 512),
        strides=(1, 2, 2, 1),
        blocks=(1, 1, 1, 1)),
    pooling=dict(type='HorizontalPyramidPooling', bins=(16, )),
    head=dict(
        type='PartBNNeckHead',
        in_channels=512,
        embed_channels=256,
        num_parts=16,
        num_classes=3000,
        loss_triplet=dict(type='PartTripletLoss', margin=0.2),
        loss_cls=dict(type='PartCrossEntropyLoss', scale=16, label_smoothing=0.1)))
