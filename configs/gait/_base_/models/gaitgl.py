model = dict(
    type='GaitRecognizer',
    data_preprocessor=dict(type='GaitDataPreprocessor', min_frames=3),
    backbone=dict(
        type='GaitGLBackbone', stem=(32, ), stages=((64, ), (128, ), (128, )), num_strips=8),
    pooling=dict(type='GeMPooling', num_parts=64, p=6.5),
    head=dict(
        type='PartBNHead',
        in_channels=128,
        embed_channels=128,
        num_parts=64,
        num_classes=74,
        loss_triplet=dict(type='PartTripletLoss', margin=0.2),
        loss_cls=dict(type='PartCrossEntropyLoss', scale=1, label_smoothing=0.)))
