from __future__ import annotations

from mmpose.datasets.datasets.body import CocoDataset
from mmpose.registry import DATASETS as MMPOSE_DATASETS

from razor_ext.registry import DATASETS, keep_root_names

from .people import ANNOTATIONS, ensure_people


@DATASETS.register_module()
@MMPOSE_DATASETS.register_module()  # the only ones whose keypoints MMDeploy knows
class SyntheticPeople(CocoDataset):
    """COCO's 17 keypoints on synthetic people, rendered when first asked for.

    Args:
        split: Name of the split, such as ``train`` or ``val``.
        num_images: Number of scenes.
        seed: Seed of the scenes.
        scene: Arguments of :class:`razor_ext.walker.SceneOptions`.
        data_root: Folder of the caches.
        **kwargs: The other arguments of :class:`mmpose.datasets.CocoDataset`, which finds the
            annotations and the images by itself here.
    """

    points = 17

    def __init__(self, split: str, num_images: int, seed: int = 0, scene: dict | None = None,
                 data_root: str = 'data/people', **kwargs) -> None:
        folder = ensure_people(data_root, split, num_images, seed, scene)
        super().__init__(ann_file=ANNOTATIONS[self.points], data_root=str(folder),
                         data_prefix={'img': 'images'}, **kwargs)


@DATASETS.register_module()
@MMPOSE_DATASETS.register_module()
class SyntheticPeopleHalpe26(SyntheticPeople):
    """Halpe's 26 body keypoints on the same people; the first 17 are COCO's."""

    METAINFO: dict = {'from_file': 'configs/_base_/datasets/halpe26.py'}
    points = 26


keep_root_names(__name__)
