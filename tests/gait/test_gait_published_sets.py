"""Trees and partitions of the published sets that keep more than silhouettes, and their batches."""
from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATASETS, TRANSFORMS

from razor_ext.gait.datasets import (
    RandomBatchSampler,
    SequenceError,
    TripletBatchSampler,
    samplers,
)

from .gait_trees import dataset_cfg, run_tool, write_tree


def multimodal(root, names=('0-sils', '1-ratios', '2-rgbs')):
    """A tree with several pickles in every sequence; number 2 is told by its frames."""
    write_tree(root, ['100', '101'], ['U0_D0'], ['1_0'], train=['100'])
    for i, folder in enumerate(sorted((root / 'silhouettes').glob('*/*/*'))):
        next(folder.glob('*.pkl')).unlink()
        for j, name in enumerate(names):
            x = np.full((4, 64, 64), 10 * i + j, np.uint8)
            (folder / f'{name}.pkl').write_bytes(pickle.dumps(x))


def test_data_in_use_chooses_the_pickle(tmp_path, monkeypatch):
    multimodal(tmp_path)
    with pytest.raises(ValueError, match=r'3 pickles \(0-sils\.pkl, .*choose one by data_in_use'):
        DATASETS.build(dataset_cfg(tmp_path, 'CCPGDataset'))
    for number in range(3):
        item = DATASETS.build(dataset_cfg(tmp_path, 'CCPGDataset', data_in_use=number))[0]
        assert item['inputs'].unique().tolist() == [number]
    with pytest.raises(ValueError, match='no sequence'):
        DATASETS.build(dataset_cfg(tmp_path, 'CCPGDataset', data_in_use=3))
    with pytest.raises(ValueError, match='without a pickle number 3: 100/U0_D0/1_0'):
        DATASETS.build(dataset_cfg(tmp_path, 'CCPGDataset', data_in_use=3, missing='raise'))
    for bad in (-1, True, '0', [], [0, True], [0, -1]):
        with pytest.raises(ValueError, match='data_in_use must be None or'):
            DATASETS.build(dataset_cfg(tmp_path, data_in_use=bad))
    run_tool(monkeypatch, 'convert_dataset.py', tmp_path / 'silhouettes', tmp_path / 'store',
             '--data-in-use', 2)
    item = DATASETS.build(dataset_cfg(tmp_path, path='store'))[0]
    assert item['inputs'].unique().tolist() == [2]
    for option, message in ((['--data-in-use', -1], 'at least 0'), ([], 'holds 3 pickles')):
        with pytest.raises(SystemExit, match=message):
            run_tool(monkeypatch, 'convert_dataset.py', tmp_path / 'silhouettes',
                     tmp_path / 'other', *option)
    assert not (tmp_path / 'other').exists()


def several(root, **arrays):
    """One sequence of several pickles."""
    folder = root / 'silhouettes' / '001' / 'nm-01' / '000'
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / f'{name}.pkl').write_bytes(pickle.dumps(array))
    (root / 'partition.json').write_text(json.dumps({'TRAIN_SET': ['001'], 'TEST_SET': []}))


def test_pickles_of_several_inputs_are_read_together(tmp_path, monkeypatch):
    """Maps and silhouettes are the channels of one frame; the wider maps lose their sides."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 256, (5, 2, 64, 64), dtype=np.uint8)
    silhouettes = rng.integers(0, 256, (5, 64, 44), dtype=np.uint8)
    several(tmp_path, heatmap=maps, sil=silhouettes)
    steps = [{'type': 'LoadSilhouettes', 'channels': 3}, {'type': 'SampleFrames', 'mode': 'all'},
             {'type': 'CropSides'}, {'type': 'PackGaitInputs'}]
    cfg = dataset_cfg(tmp_path, pipeline=steps, data_in_use=[0, 1])
    inputs = DATASETS.build(cfg)[0]['inputs'].numpy()
    assert np.array_equal(inputs, np.concatenate([maps[..., 10:54].swapaxes(0, 1),
                                                  silhouettes[None]]))
    turned = DATASETS.build({**cfg, 'data_in_use': [1, 0]})[0]['inputs'].numpy()
    assert np.array_equal(turned, np.roll(inputs, 1, axis=0))
    assert DATASETS.build({**cfg, 'data_in_use': 0, 'pipeline': [
        {**steps[0], 'channels': 2}, *steps[1:]]})[0]['inputs'].shape == (2, 5, 64, 44)
    run_tool(monkeypatch, 'convert_dataset.py', tmp_path / 'silhouettes', tmp_path / 'store',
             '--data-in-use', 0, 1)
    stored = DATASETS.build(dataset_cfg(tmp_path, pipeline=steps, path='store'))[0]['inputs']
    assert np.array_equal(stored.numpy(), inputs)
    with pytest.raises(SequenceError, match=r'000: frames of 3 channels, where .*channels=1\)'):
        DATASETS.build({**cfg, 'pipeline': [{'type': 'LoadSilhouettes'}, *steps[1:]]})[0]
    for array, message in ((silhouettes[:4], '4 frames, where'), (silhouettes[:, 1:], '63 rows'),
                           (silhouettes[..., 1:], '64 columns cannot be cut to 43')):
        several(tmp_path, sil=array)
        with pytest.raises(SequenceError, match=message):
            DATASETS.build(cfg)[0]


@pytest.mark.parametrize('step', [
    {'type': 'FlipSequence'}, {'type': 'RotateSequence'}, {'type': 'PerspectiveSequence'},
    {'type': 'PerspectiveSequence', 'style': 'opengait'}, {'type': 'EraseSequence'}],
    ids=lambda step: '-'.join(step.values()))
def test_augmentations_treat_all_channels_alike(step):
    frames = np.random.default_rng(0).integers(0, 256, (3, 2, 64, 64), dtype=np.uint8)
    augment = TRANSFORMS.build({**step, 'prob': 1.})
    results = []
    for part in (frames, frames[:, 0], frames[:, 1]):
        np.random.seed(1)
        results.append(augment.transform({'frames': part})['frames'])
    assert not np.array_equal(results[0], frames)
    assert np.array_equal(results[0], np.stack(results[1:], axis=1))


def test_ccgr_minis_gallery_set(tmp_path):
    write_tree(tmp_path, ['601', '602'], ['CL1'], ['over', '45_1'], train=[])
    cfg = dataset_cfg(tmp_path, 'CCGRMiniDataset', split='test')
    with pytest.raises(ValueError, match='no GALLERY_SET, which CCGR-MINI is judged by'):
        DATASETS.build(cfg)
    path = tmp_path / 'partition.json'
    partition = {**json.loads(path.read_text()), 'GALLERY_SET': ['601-CL1-over', '999-CL1-over']}
    path.write_text(json.dumps(partition))
    assert DATASETS.build(cfg).metainfo['gallery_set'] == partition['GALLERY_SET']
    with pytest.raises(ValueError, match='GALLERY_SET are not on disk: 999-CL1-over'):
        DATASETS.build({**cfg, 'missing': 'raise'})
    path.write_text(json.dumps({**partition, 'GALLERY_SET': {'a': 1}}))
    with pytest.raises(ValueError, match='GALLERY_SET must be a list of sequence names'):
        DATASETS.build(cfg)


def test_a_partition_without_training_subjects(tmp_path):
    """HID gives no training set any more."""
    write_tree(tmp_path, ['0001', 'probe'], ['a'], ['v1', 'v2'], train=[])
    test = DATASETS.build(dataset_cfg(tmp_path, 'HIDDataset', split='test'))
    assert len(test) == 4 and test.metainfo['subjects'] == ['0001', 'probe']
    with pytest.raises(ValueError, match='no sequence of the 0 train subjects'):
        DATASETS.build(dataset_cfg(tmp_path, 'HIDDataset'))


def batches(kind, dataset, batch_size, monkeypatch, rank=0, world=1, count=40, **kwargs):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world))
    loader = iter(kind(DefaultSampler(dataset, seed=3), batch_size, **kwargs))
    return [next(loader) for _ in range(count)]


def test_mixed_batches_are_the_same_batches(tmp_path, monkeypatch):
    write_tree(tmp_path, [f'{i:03d}' for i in range(6)], ['a'], [f'{v}' for v in range(4)])
    dataset = DATASETS.build(dataset_cfg(tmp_path))
    mixed, grouped = (batches(TripletBatchSampler, dataset, 8, monkeypatch, subjects=4,
                              shuffle=shuffle) for shuffle in (True, False))
    for batch in mixed:
        labels, counts = np.unique(dataset.labels[batch], return_counts=True)
        assert len(labels) == 4 and (counts == 2).all() and len(set(batch)) == 8
    in_turn = [bool((np.diff(dataset.labels[b])[::2] == 0).all()) for b in grouped]
    assert all(in_turn)
    assert not any((np.diff(dataset.labels[b])[::2] == 0).all() for b in mixed)
    # two ranks share the batch of one, whatever the order
    halves = [batches(TripletBatchSampler, dataset, 8, monkeypatch, rank, 2, subjects=4,
                      shuffle=True) for rank in range(2)]
    assert all(sorted(w) == sorted(a + b) for w, a, b in zip(mixed, *halves))


def test_random_batches(tmp_path, monkeypatch):
    write_tree(tmp_path, [f'{i:03d}' for i in range(3)], ['a'], [f'{v}' for v in range(4)])
    dataset = DATASETS.build(dataset_cfg(tmp_path))
    drawn = batches(RandomBatchSampler, dataset, 5, monkeypatch, count=400)
    assert all(len(set(b)) == 5 for b in drawn)
    counts = np.bincount(np.concatenate(drawn), minlength=12)
    assert counts.min() > 110 and counts.max() < 225  # 167 on average
    assert len(batches(RandomBatchSampler, dataset, 20, monkeypatch)[0]) == 20  # drawn again
    whole, *halves = (batches(RandomBatchSampler, dataset, 6, monkeypatch, rank, world)
                      for rank, world in ((0, 1), (0, 2), (1, 2)))
    assert all(sorted(w) == sorted(a + b) for w, a, b in zip(whole, *halves))
    assert len(RandomBatchSampler(DefaultSampler(dataset), 6)) == 2
    with pytest.raises(ValueError, match='multiple of the 2 ranks'):
        batches(RandomBatchSampler, dataset, 5, monkeypatch, 0, 2)
    assert torch.is_tensor(dataset[0]['inputs'])
