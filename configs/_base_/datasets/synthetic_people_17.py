# Synthetic people with COCO's 17 keypoints: rendered on first use, cached under data_root.
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)

people_train = dict(
    type='SyntheticPeople',
    data_root='data/people',
    split='train',
    num_images=8000,
    seed=0,
    scene=dict(size=(192, 256), people=(1, 2), stature=(.6, 1.)))
people_val = dict(
    type='SyntheticPeople',
    data_root='data/people',
    split='val',
    num_images=500,
    seed=0,
    scene=dict(size=(192, 256), people=(1, 2), stature=(.6, 1.)),
    test_mode=True)
