_base_ = './deepgaitv2.py'

# DeepGaitV2 of two maps, limbs and joints
model = dict(backbone=dict(in_channels=2), head=dict(num_classes=3000))
