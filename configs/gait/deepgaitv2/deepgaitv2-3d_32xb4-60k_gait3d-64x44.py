_base_ = './deepgaitv2-p3d_32xb4-60k_gait3d-64x44.py'

model = dict(backbone=dict(mode='3d'))
