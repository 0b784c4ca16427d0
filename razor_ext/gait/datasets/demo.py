"""The embedded data set: synthetic walkers in CASIA-B's layout, rendered on first use."""
from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
from filelock import FileLock
from mmengine.logging import print_log

from razor_ext.registry import DATASETS
from razor_ext.walker import (
    CONDITIONS,
    VIEWS,
    joint_map_sequence,
    keyed_rng,
    silhouette_sequence,
)

from .dataset import GaitDataset

SILHOUETTES = 'silhouettes'
PARTITION = 'partition.json'


def render_subject(subject: str, root: str | Path, seed: int, views: Sequence[str],
                   frames: tuple[int, int], joint_maps: bool = False) -> int:
    """Write all sequences of a subject; returns how many.

    With `joint_maps` a sequence has two pickles, maps of joints and silhouettes in sorted order.
    """
    for condition in CONDITIONS:
        for view in views:
            rng = keyed_rng('length', seed, subject, condition, view)
            count = int(rng.integers(frames[0], frames[1] + 1))
            what = seed, subject, condition, view, count
            pickles = {view: silhouette_sequence(*what)}
            if joint_maps:
                pickles = {'0_heatmap': joint_map_sequence(*what), '1_sil': pickles[view]}
            folder = Path(root, subject, condition, view)
            folder.mkdir(parents=True)
            for name, sequence in pickles.items():
                with open(folder / f'{name}.pkl', 'wb') as file:
                    pickle.dump(sequence, file, protocol=4)
    return len(CONDITIONS) * len(views)


def _each(job: Callable[[str], int], subjects: list[str]) -> Iterator[int]:
    """Run a job for every subject, in several processes if there are many."""
    if len(subjects) < 8:
        yield from map(job, subjects)
        return
    # a fork of a process that has used its threads (OpenCV, OpenMP, gloo) may never wake up
    with ProcessPoolExecutor(min(8, os.cpu_count() or 1), multiprocessing.get_context('spawn'),
                             cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(job, subjects)


def render_demo(root: str | Path, num_train: int, num_test: int, views: Sequence[str],
                frames: tuple[int, int], seed: int, joint_maps: bool = False) -> None:
    """Render the set once, whoever asks first; other processes wait.

    The directory appears under its name only when complete. What is in it depends on the arguments
    alone, not on the number of processes.

    Raises:
        ValueError: If the directory holds a set made with other arguments.
    """
    root = Path(root)
    root.parent.mkdir(parents=True, exist_ok=True)
    subjects = [f'{i + 1:03d}' for i in range(num_train + num_test)]
    rendered = {'views': list(views), 'frames': list(frames), 'seed': seed,
                **({'joint_maps': True} if joint_maps else {})}
    partition = {'TRAIN_SET': subjects[:num_train], 'TEST_SET': subjects[num_train:],
                 'RENDERED': rendered}
    with FileLock(f'{root}.lock'):
        if root.exists():
            if json.loads((root / PARTITION).read_text()) != partition:
                raise ValueError(f'{root} was rendered with other settings; remove it or choose '
                                 'another data_root')
            return
        print_log(f'rendering {len(subjects)} walkers into {root}', logger='current')
        scratch = Path(tempfile.mkdtemp(prefix=f'.{root.name}.', dir=root.parent))
        try:
            job = partial(render_subject, root=scratch / SILHOUETTES, seed=seed, views=views,
                          frames=frames, joint_maps=joint_maps)
            for i, _ in enumerate(_each(job, subjects), 1):
                if i % 10 == 0:
                    print_log(f'{i}/{len(subjects)} walkers', logger='current')
            (scratch / PARTITION).write_text(json.dumps(partition, indent=1))
            os.chmod(scratch, 0o755)
            os.replace(scratch, root)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


@DATASETS.register_module()
class GaitDemoDataset(GaitDataset):
    """Synthetic walkers: nm/bg/cl, 11 views, as pickles in CASIA-B's layout.

    Args:
        data_root (str): Directory to render into on first use, and to read from afterwards.
        num_train (int): Training subjects.
        num_test (int): Test subjects.
        views (Sequence[str]): Views in degrees.
        frames (tuple[int, int]): Range of the sequences' lengths.
        seed (int): Seed of the population.
        joint_maps (bool): Render maps of joints beside the silhouettes, as SkeletonGait++ reads
            them: two channels in the first pickle of a sequence.
        **kwargs: See :class:`GaitDataset`.
    """

    METAINFO = {'dataset_name': 'gait_demo', 'conditions': list(CONDITIONS), 'views': None}

    def __init__(self, data_root: str, num_train: int = 32, num_test: int = 24,
                 views: Sequence[str] = VIEWS, frames: tuple[int, int] = (20, 28), seed: int = 0,
                 joint_maps: bool = False, **kwargs) -> None:
        shortest, longest = frames
        self.render = partial(render_demo, data_root, num_train, num_test, tuple(views),
                              (shortest, longest), seed, joint_maps)
        super().__init__(ann_file=PARTITION, data_root=data_root,
                         data_prefix={'path': SILHOUETTES},
                         metainfo={'views': list(views)}, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Render if need be, then list the split."""
        self.render()
        return super().load_data_list()
