# Synthetic people with Halpe's 26 body keypoints: rendered on first use, cached under data_root.
_base_ = './synthetic_people_17.py'

people_train = dict(type='SyntheticPeopleHalpe26')
people_val = dict(type='SyntheticPeopleHalpe26')
