model = dict(
    type='GaitRecognizer',
    data_preprocessor=dict(type='GaitDataPreprocessor'),
    backbone=dict(
        type='GaitPlainCNN', channels=((32, 32), (64, 64), (128, 128)), strips=(1, 4, 8)),
    pooling=dict(type='MicroMotionPooling', in_channels=128, bins=(16, )),
    head=dict(
        type='PartHead',
        in_channels=128,
        embed_channels=128,
        num_parts=16,
        loss_triplet=dict(type='PartTripletLoss', margin=0.2)))
