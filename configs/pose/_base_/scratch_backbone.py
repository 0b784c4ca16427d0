# The backbone of RTMPose where it starts from noise, on one device.
scratch_backbone = dict(
    norm_cfg=dict(type='BN'),
    init_cfg=dict(
        _delete_=True,
        type='Kaiming',
        layer='Conv2d',
        a=5**.5,
        distribution='uniform',
        mode='fan_in',
        nonlinearity='leaky_relu'))
