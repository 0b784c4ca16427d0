# Synthetic people with COCO's 17 keypoints: rendered on first use, cached under data_root.
custom_imports = dict(imports=['razor_ext'], allow_failed_imports=False)

people = dict(
    type='SyntheticPeople',
    data_root='data/people',
    seed=0,
    scene=dict(size=(192, 256), people=(1, 2), stature=(.6, 1.)))
people_train = dict(people, split='train', num_images=8000)
people_val = dict(people, split='val', num_images=500, test_mode=True)
