# The GaitBase of tools/demo.sh, twice as wide: large enough that integers are faster than floats.
_base_ = './gaitbase-small_demo-64x44.py'

model = dict(backbone=dict(channels=(16, 32, 64, 128)), head=dict(in_channels=128))
