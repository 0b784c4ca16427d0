from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.registry import DATASETS
from torch.utils.data import DataLoader

import razor_ext  # noqa: F401
from razor_ext.gait.datasets import (
    SequenceError,
    SequenceKey,
    SilhouetteStore,
    TripletBatchSampler,
    load_pickle,
    samplers,
    scan_tree,
    write_store,
)

from .gait_trees import PIPELINE, dataset_cfg, run_tool, write_tree

ROOT = Path(__file__).parents[2]


@pytest.mark.smoke
@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol(tmp_path, protocol):
    x = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    (tmp_path / 'x.pkl').write_bytes(pickle.dumps(x, protocol))
    assert np.array_equal(load_pickle(tmp_path / 'x.pkl'), x)


def test_pickle_written_by_numpy_2(tmp_path):
    x = np.ones((2, 3, 3), np.uint8)
    data = pickle.dumps(x, 4).replace(b'\x8c\x15numpy.core.multiarray',
                                      b'\x8c\x16numpy._core.multiarray')
    data = pickle.dumps(x, 2).replace(b'cnumpy.core.multiarray', b'cnumpy._core.multiarray') \
        if b'_core' not in data else data
    (tmp_path / 'x.pkl').write_bytes(data)
    if b'\x95' in data[:3]:  # the frame grew by a byte
        data = data[:3] + (int.from_bytes(data[3:11], 'little') + 1).to_bytes(8, 'little') \
            + data[11:]
        (tmp_path / 'x.pkl').write_bytes(data)
    assert np.array_equal(load_pickle(tmp_path / 'x.pkl'), x)


class Bomb:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f'touch {self.marker}',)


@pytest.mark.smoke
@pytest.mark.parametrize('wrap', [lambda b: b, lambda b: [np.zeros((1, 2, 2), np.uint8), b],
                                  lambda b: np.array([b], dtype=object)])
def test_malicious_pickle_is_refused_by_path(tmp_path, wrap):
    path, marker = tmp_path / 'evil.pkl', tmp_path / 'ran'
    path.write_bytes(pickle.dumps(wrap(Bomb(marker))))
    with pytest.raises(SequenceError, match=r'evil\.pkl.*refused.*system'):
        load_pickle(path)
    assert not marker.exists()


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'EOFError'), (pickle.dumps(np.zeros((3, 4, 4), np.uint8))[:-20], 'cannot be read'),
    (pickle.dumps(np.zeros((0, 4, 4), np.uint8)), 'no frames'),
    (pickle.dumps(np.zeros((4, 4), np.uint8)), r'found uint8 \[4, 4\]'),
    (pickle.dumps(np.zeros((1, 4, 4))), 'found float64'), (pickle.dumps([1, 2]), 'found list'),
])
def test_unusable_pickles_are_named(tmp_path, content, message):
    path = tmp_path / 'x.pkl'
    path.write_bytes(content)
    with pytest.raises(SequenceError, match=rf'x\.pkl: .*{message}'):
        load_pickle(path)


def test_store_holds_the_tree(tmp_path, monkeypatch, capsys):
    written = write_tree(tmp_path, ['001', '002'], ['nm-01'], ['000', '090'])
    run_tool(monkeypatch, 'convert_dataset.py', tmp_path / 'silhouettes', tmp_path / 'store')
    assert '4 sequences' in capsys.readouterr().out
    store = SilhouetteStore(tmp_path / 'store')
    assert set(store.sequences) == set(written)
    for key, x in written.items():
        assert np.array_equal(store.read(SequenceKey(*key)), x)
    a = DATASETS.build(dataset_cfg(tmp_path))
    b = DATASETS.build(dataset_cfg(tmp_path, path='store'))
    for i in range(4):
        np.random.seed(i)
        x = a[i]
        np.random.seed(i)
        y = b[i]
        assert torch.equal(x['inputs'], y['inputs'])
        assert x['data_samples'].subject == y['data_samples'].subject
        assert int(x['data_samples'].gt_label) == int(y['data_samples'].gt_label)


def test_store_is_written_whole_or_not_at_all(tmp_path):
    def broken():
        yield SequenceKey('1', 'a', 'b'), np.zeros((1, 4, 4), np.uint8)
        yield SequenceKey('2', 'a', 'b'), np.zeros((1, 5, 4), np.uint8)

    with pytest.raises(SequenceError, match='2/a/b: size'):
        write_store(tmp_path / 'store', broken())
    assert not list(tmp_path.iterdir())
    keys = [(SequenceKey('1', 'a', 'b'), np.zeros((3, 4, 4), np.uint8))]
    write_store(tmp_path / 'store', keys)
    with pytest.raises(FileExistsError, match='store'):
        write_store(tmp_path / 'store', keys)
    with open(tmp_path / 'store' / 'frames.bin', 'ab') as file:
        file.write(b'x')
    with pytest.raises(ValueError, match='49 bytes where its index says 48'):
        SilhouetteStore(tmp_path / 'store')


def test_conversion_skips_only_when_told(tmp_path, monkeypatch, capsys):
    write_tree(tmp_path, ['001', '002'], ['nm-01'], ['000'])
    bad = tmp_path / 'silhouettes/001/nm-01/000/000.pkl'
    bad.write_bytes(b'nonsense')
    convert = ['convert_dataset.py', tmp_path / 'silhouettes', tmp_path / 'store']
    with pytest.raises(SystemExit, match=r'001/nm-01/000/000\.pkl'):
        run_tool(monkeypatch, *convert)
    assert not (tmp_path / 'store').exists()
    run_tool(monkeypatch, *convert, '--on-corrupt', 'skip')
    out = capsys.readouterr().out
    assert '1 sequences' in out and '001/nm-01/000/000.pkl' in out


@pytest.mark.smoke
def test_dataset_lists_the_split(tmp_path):
    write_tree(tmp_path, ['003', '001', '002'], ['nm-01', 'cl-01'], ['000', '018'],
               train=['002', '001'])
    train = DATASETS.build(dataset_cfg(tmp_path))
    assert len(train) == 8 and train.metainfo['subjects'] == ['001', '002']
    assert train.labels.tolist() == [0] * 4 + [1] * 4
    item = train[5]
    assert item['inputs'].shape == (1, 5, 64, 44) and item['inputs'].dtype == torch.uint8
    sample = item['data_samples']
    assert (sample.subject, sample.condition, sample.view) == ('002', 'cl-01', '018')
    assert sample.num_frames == 5 and sample.gt_label.item() == 1
    test = DATASETS.build(dataset_cfg(tmp_path, split='test', test_mode=True))
    assert len(test) == 4 and test.metainfo['subjects'] == ['003']


@pytest.mark.parametrize(('kind', 'conditions', 'views', 'grid'), [
    ('CASIABDataset', ['nm-01', 'bg-01'], ['000', '018'], 110),
    ('OUMVLPDataset', ['00', '01'], ['000', '195'], 28)])
def test_missing_sequences_are_reported(tmp_path, caplog, kind, conditions, views, grid):
    write_tree(tmp_path, ['001', '002'], conditions, views)
    partition = json.loads((tmp_path / 'partition.json').read_text())
    partition['TRAIN_SET'].append('777')
    (tmp_path / 'partition.json').write_text(json.dumps(partition))
    assert len(DATASETS.build(dataset_cfg(tmp_path, kind))) == 8
    with pytest.raises(ValueError, match=r"1 train subjects .* not on disk: 777.*missing='warn'"):
        DATASETS.build(dataset_cfg(tmp_path, kind, missing='raise'))
    partition['TRAIN_SET'].remove('777')
    (tmp_path / 'partition.json').write_text(json.dumps(partition))
    with pytest.raises(ValueError, match=rf'{2 * grid - 8} of {2 * grid} sequences'):
        DATASETS.build(dataset_cfg(tmp_path, kind, missing='raise'))


def test_empty_directories_and_wrong_roots(tmp_path):
    write_tree(tmp_path, ['001'], ['nm-01'], ['000'])
    (tmp_path / 'silhouettes/001/nm-01/018').mkdir()
    with pytest.raises(ValueError, match='without a pickle: 001/nm-01/018'):
        DATASETS.build(dataset_cfg(tmp_path, missing='raise'))
    assert len(DATASETS.build(dataset_cfg(tmp_path))) == 1
    with pytest.raises(ValueError, match='no sequence of the 0 test subjects'):
        DATASETS.build(dataset_cfg(tmp_path, split='test'))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        DATASETS.build(dataset_cfg(tmp_path, path='nowhere'))
    (tmp_path / 'silhouettes/001/nm-01/000/other.pkl').write_bytes(b'')
    with pytest.raises(ValueError, match='holds 2 pickles'):
        DATASETS.build(dataset_cfg(tmp_path))
    (tmp_path / 'partition.json').write_text('{"TRAIN_SET": ["1"], "TEST_SET": ["1"]}')
    with pytest.raises(ValueError, match=r"both sets, such as \['1'\]"):
        DATASETS.build(dataset_cfg(tmp_path))
    (tmp_path / 'partition.json').write_text('{"TRAIN_SET": [1], "TEST_SET": []}')
    with pytest.raises(ValueError, match='TRAIN_SET must be a list of subject names'):
        DATASETS.build(dataset_cfg(tmp_path))
    with pytest.raises(ValueError, match=r"split must be .* not 'val'"):
        DATASETS.build(dataset_cfg(tmp_path, split='val'))


def test_gait3d_probe_set(tmp_path):
    write_tree(tmp_path, ['0001', '0002'], ['camid0', 'camid1'], ['seq0'], train=[])
    cfg = dataset_cfg(tmp_path, 'Gait3DDataset', split='test')
    with pytest.raises(ValueError, match='no PROBE_SET'):
        DATASETS.build(cfg)
    partition = json.loads((tmp_path / 'partition.json').read_text())
    partition['PROBE_SET'] = ['0001-camid0-seq0', '0009-camid0-seq0']
    (tmp_path / 'partition.json').write_text(json.dumps(partition))
    assert DATASETS.build(cfg).metainfo['probe_set'] == partition['PROBE_SET']
    with pytest.raises(ValueError, match='PROBE_SET are not on disk: 0009-camid0-seq0'):
        DATASETS.build({**cfg, 'missing': 'raise'})


def test_corrupt_sequence_stops_or_is_skipped(tmp_path, caplog):
    write_tree(tmp_path, ['001', '002'], ['nm-01'], ['000', '018'])
    bad = tmp_path / 'silhouettes/001/nm-01/018/018.pkl'
    bad.write_bytes(b'nonsense')
    with pytest.raises(SequenceError, match=r'001/nm-01/018/018\.pkl'):
        DATASETS.build(dataset_cfg(tmp_path))[1]
    # in the middle of training: the worker's error still names it
    loader = DataLoader(DATASETS.build(dataset_cfg(tmp_path)), num_workers=1,
                        collate_fn=pseudo_collate)
    with pytest.raises(SequenceError, match=r'001/nm-01/018/018\.pkl: cannot be read'):
        list(loader)
    skipping = DATASETS.build(dataset_cfg(tmp_path, on_corrupt='skip'))
    sample = skipping[1]['data_samples']
    assert sample.subject == '001' and sample.view == '000'  # P x K survives
    testing = DATASETS.build(dataset_cfg(tmp_path, on_corrupt='skip', test_mode=True))
    with pytest.raises(SequenceError):
        testing[1]
    (tmp_path / 'silhouettes/001/nm-01/000/000.pkl').write_bytes(b'')
    with pytest.raises(SequenceError, match='no other sequence of this subject'):
        skipping[1]


def test_one_frame_sequences_are_used_unless_refused(tmp_path):
    write_tree(tmp_path, ['001'], ['nm-01'], ['000'], frames=1)
    assert DATASETS.build(dataset_cfg(tmp_path))[0]['inputs'].shape[1] == 5
    strict = [{'type': 'LoadSilhouettes', 'min_frames': 2}, *PIPELINE[1:]]
    with pytest.raises(SequenceError, match='1 frames are fewer than min_frames=2'):
        DATASETS.build(dataset_cfg(tmp_path, pipeline=strict))[0]


def _batches(dataset, batch_size, subjects, rank, world, monkeypatch, count=4):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world))
    batches = iter(TripletBatchSampler(DefaultSampler(dataset, seed=3), batch_size, subjects))
    return [next(batches) for _ in range(count)]


@pytest.mark.smoke
def test_triplet_batches(tmp_path, monkeypatch):
    write_tree(tmp_path, [f'{i:03d}' for i in range(5)], ['nm-01', 'nm-02'], ['000', '018'])
    dataset = DATASETS.build(dataset_cfg(tmp_path))
    alone = _batches(dataset, 12, 3, 0, 1, monkeypatch)
    for batch in alone:
        labels, counts = np.unique(dataset.labels[batch], return_counts=True)
        assert len(labels) == 3 and (counts == 4).all() and len(set(batch)) == 12
    halves = [_batches(dataset, 12, 3, rank, 2, monkeypatch) for rank in range(2)]
    for whole, a, b in zip(alone, *halves):
        assert len(a) == len(b) == 6
        assert sorted(whole) == sorted(a + b)
    # more sequences than a subject has: drawn again
    batch = _batches(dataset, 18, 3, 0, 1, monkeypatch)[0]
    assert np.unique(dataset.labels[batch], return_counts=True)[1].tolist() == [6, 6, 6]


@pytest.mark.parametrize(('batch', 'subjects', 'world', 'message'), [
    (10, 3, 1, 'multiple of subjects=3'), (9, 3, 2, '2 ranks'), (12, 6, 1, '5 subjects, fewer')])
def test_triplet_batch_errors(tmp_path, monkeypatch, batch, subjects, world, message):
    write_tree(tmp_path, [f'{i:03d}' for i in range(5)], ['nm-01'], ['000'])
    dataset = DATASETS.build(dataset_cfg(tmp_path))
    with pytest.raises(ValueError, match=message):
        _batches(dataset, batch, subjects, 0, world, monkeypatch)


def test_scan_is_sorted(tmp_path):
    write_tree(tmp_path, ['b', 'a'], ['2', '1'], ['y', 'x'])
    keys = [key for key, _ in scan_tree(tmp_path / 'silhouettes')]
    assert keys == sorted(keys) and len(keys) == 8


DEMO = {'type': 'GaitDemoDataset', 'num_train': 2, 'num_test': 1, 'views': ['000', '090'],
        'frames': (4, 6), 'pipeline': PIPELINE}


def test_demo_is_deterministic_and_cached(tmp_path):
    trees = []
    for name in ('a', 'b'):
        dataset = DATASETS.build({**DEMO, 'data_root': str(tmp_path / name)})
        assert len(dataset) == 2 * 10 * 2
        trees.append({str(p.relative_to(tmp_path / name)): p.read_bytes()
                      for p in sorted((tmp_path / name).rglob('*')) if p.is_file()})
    assert trees[0] == trees[1]
    stamp = (tmp_path / 'a/partition.json').stat().st_mtime_ns
    test = DATASETS.build({**DEMO, 'data_root': str(tmp_path / 'a'), 'split': 'test',
                           'missing': 'raise'})
    assert len(test) == 20 and (tmp_path / 'a/partition.json').stat().st_mtime_ns == stamp
    assert 4 <= len(load_pickle(test.get_data_info(0)['path'])) <= 6
    with pytest.raises(ValueError, match='other settings'):
        DATASETS.build({**DEMO, 'data_root': str(tmp_path / 'a'), 'seed': 1})


def test_rendering_does_not_depend_on_the_processes(tmp_path):
    many = {**DEMO, 'num_train': 8, 'views': ['090']}
    DATASETS.build({**many, 'data_root': str(tmp_path / 'many')})
    DATASETS.build({**DEMO, 'views': ['090'], 'data_root': str(tmp_path / 'few')})
    for s in ('001', '002'):
        for path in (tmp_path / 'few/silhouettes' / s).rglob('*.pkl'):
            other = tmp_path / 'many' / path.relative_to(tmp_path / 'few')
            assert other.read_bytes() == path.read_bytes()


def test_two_processes_render_once(tmp_path):
    code = ('import razor_ext, sys; from mmengine.registry import DATASETS;'
            f'print(len(DATASETS.build(dict(data_root=sys.argv[1], **{DEMO!r}))))')
    runs = [subprocess.Popen([sys.executable, '-W', 'ignore', '-c', code, str(tmp_path / 'demo')],
                             cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outs = [r.communicate(timeout=200)[0] for r in runs]
    assert [r.returncode for r in runs] == [0, 0]
    assert sum('rendering 3 walkers' in out for out in outs) == 1
    assert all(out.strip().endswith('40') for out in outs)
    assert sorted(p.name for p in tmp_path.iterdir()) in (['demo'], ['demo', 'demo.lock'])


def test_demo_set_with_maps_of_joints(tmp_path):
    steps = [{'type': 'LoadSilhouettes', 'channels': 3}, {'type': 'SampleFrames', 'mode': 'all'},
             {'type': 'CropSides'}, {'type': 'PackGaitInputs'}]
    cfg = {**DEMO, 'data_root': str(tmp_path / 'demo'), 'pipeline': steps, 'joint_maps': True,
           'data_in_use': [0, 1]}
    inputs = DATASETS.build(cfg)[0]['inputs']
    plain = DATASETS.build({**DEMO, 'data_root': str(tmp_path / 'plain'),
                            'pipeline': [{'type': 'LoadSilhouettes'}, *steps[1:]]})[0]['inputs']
    assert torch.equal(inputs[2:], plain) and (inputs[:2].amax((2, 3)) > 200).all()
    with pytest.raises(ValueError, match='rendered with other settings'):
        DATASETS.build({**cfg, 'joint_maps': False})
