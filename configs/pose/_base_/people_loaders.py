# RTMPose's training on synthetic people, which need no blotting out of what photographs show.
augmentation = [
    dict(type='LoadImage'),
    dict(type='GetBBoxCenterScale'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomHalfBody'),
    dict(type='RandomBBoxTransform', scale_factor=[.6, 1.4], rotate_factor=80),
    dict(type='TopdownAffine', input_size=(192, 256)),
    dict(type='mmdet.YOLOXHSVRandomAug'),
]
