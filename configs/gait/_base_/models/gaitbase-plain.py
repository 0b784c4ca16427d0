model = dict(
    type='GaitRecognizer',
    data_preprocessor=dict(type='GaitDataPreprocessor'),
    backbone=dict(type='GaitPlainCNN', channels=(64, 128, 256)),
    pooling=dict(type='HorizontalPyramidPooling', bins=(16, 8, 4, 2, 1)),
    head=dict(
        type='PartBNNeckHead',
        in_channels=256,
        embed_channels=256,
        num_parts=31,
        num_classes=74,
        loss_triplet=dict(type='PartTripletLoss', margin=0.2),
        loss_cls=dict(
            type='PartCrossEntropyLoss', scale=16, label_smoothing=0.1, loss_weight=0.1)))
