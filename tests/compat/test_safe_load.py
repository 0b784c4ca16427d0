"""Checkpoints: mmengine's own load and resume, anything that could run code is refused by name."""
from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn
from torch.utils.data import DataLoader

import razor_ext  # noqa: F401
from razor_ext.compat import UnsafeCheckpointError, mmengine, safe_load
from razor_ext.compat.safe_load import _load_restricted, allowed_types

HAS_ALLOWLIST = hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint')


class Touch:
    """Unpickles to a call that leaves a mark."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


@pytest.fixture(params=['weights_only', 'restricted'])
def load(request, monkeypatch):
    """The two ways of loading: torch's own, and that for a torch without an allowlist."""
    if request.param == 'restricted':
        monkeypatch.delattr(torch.serialization, 'get_unsafe_globals_in_checkpoint',
                            raising=False)
    elif not HAS_ALLOWLIST:
        pytest.skip('weights_only of this torch takes no allowlist')
    return safe_load


CONTENT = {
    'state_dict': collections.OrderedDict(
        weight=nn.Parameter(torch.rand(2, 3)), half=torch.rand(2).half(),
        brain=torch.rand(2).bfloat16(), mask=torch.tensor([True, False]),
        view=torch.arange(6).reshape(2, 3)[:, 1], empty=torch.empty(0)),
    'message_hub': {'log_scalars': {'loss': HistoryBuffer([1.5, 2.5], [1, 2])}},
    'meta': {
        'epoch': 3, 'seed': np.int64(5), 'ratio': np.float32(0.5), 'flag': np.bool_(True),
        'sigmas': np.linspace(0, 1, 4), 'small': np.arange(3, dtype=np.uint8),
        'names': np.array(['nose', 'eye']), 'fortran': np.asfortranarray(np.ones((2, 3))),
        'objects': {'a', 'b'}, 'bytes': b'ab', 'none': None, 'no bytes': b'',
        'nothing': np.array([]), 'no rows': np.zeros((0, 2), np.float32),
        'complex': 1 + 2j, 'shape': torch.Size([1, 2]), 'dtype': torch.float16,
        'device': torch.device('cpu'), 'count': collections.Counter('aab')},
}


@pytest.mark.smoke
@pytest.mark.parametrize('new_format', [True, False])
def test_everything_in_a_checkpoint_survives(load, tmp_path, new_format):
    path = tmp_path / 'epoch_1.pth'
    torch.save(CONTENT, path, _use_new_zipfile_serialization=new_format)
    for file in (path, str(path), path.open('rb')):
        found = load(file, 'cpu')
        history = found['message_hub']['log_scalars'].pop('loss')
        np.testing.assert_array_equal(history.data, [[1.5, 2.5], [1, 2]])
        assert history.statistics('mean') == pytest.approx(4 / 3)
        for name, tensor in CONTENT['state_dict'].items():
            torch.testing.assert_close(found['state_dict'][name], tensor, rtol=0, atol=0)
        for name, value in CONTENT['meta'].items():
            assert type(found['meta'][name]) is type(value)
            np.testing.assert_array_equal(found['meta'][name], value)


@pytest.mark.smoke
@pytest.mark.parametrize('new_format', [True, False])
def test_code_is_refused_by_name(load, tmp_path, new_format):
    path, mark = tmp_path / 'evil.pth', tmp_path / 'mark'
    torch.save({'state_dict': {}, 'meta': Touch(mark)}, path,
               _use_new_zipfile_serialization=new_format)
    with pytest.raises(UnsafeCheckpointError) as caught:
        load(path)
    assert not mark.exists()
    for words in (str(path), 'mkdir', 'RAZOR_EXT_UNSAFE_LOAD=1', 'allow_unsafe=True'):
        assert words in str(caught.value)


@pytest.mark.parametrize('target', [
    'os.system', 'builtins.eval', 'builtins.getattr', 'subprocess.Popen', 'numpy.load',
    'torch.load', 'torch.hub.load', 'functools.partial', 'operator.attrgetter'])
def test_gadgets_are_not_allowed(load, tmp_path, target):
    module, _, name = target.rpartition('.')
    path = tmp_path / 'gadget.pth'
    pickled = f'\x80\x02c{module}\n{name}\nX\x01\0\0\0x\x85R.'.encode('latin1')
    # The legacy format: magic number, protocol, system info, the object, its storages' keys.
    header = [pickle.dumps(part, 2) for part in (torch.serialization.MAGIC_NUMBER,
                                                 torch.serialization.PROTOCOL_VERSION, {})]
    path.write_bytes(b''.join([*header, pickled, pickle.dumps([], 2)]))
    with pytest.raises(UnsafeCheckpointError, match=target.rpartition('builtins.')[2]):
        load(path)


@pytest.mark.smoke
def test_bytes_stand_for_empty_arrays_only(load, tmp_path):
    """`bytes` is called with arguments by nothing that mmengine saves, so it stays refused."""
    class Wide:
        def __reduce__(self):
            return bytes, (2 ** 40,)

    path = tmp_path / 'wide.pth'
    torch.save({'meta': Wide()}, path)
    with pytest.raises(UnsafeCheckpointError, match=r'bytes\(1099511627776,\) is not allowed'):
        load(path)


def test_opt_in(tmp_path, monkeypatch):
    path = tmp_path / 'trusted.pth'
    torch.save({'meta': Touch(tmp_path / 'first')}, path)
    safe_load(path, allow_unsafe=True)
    assert (tmp_path / 'first').exists()
    torch.save({'meta': Touch(tmp_path / 'second')}, path)
    monkeypatch.setenv('RAZOR_EXT_UNSAFE_LOAD', '1')
    with pytest.raises(UnsafeCheckpointError):
        safe_load(path, allow_unsafe=False)
    CheckpointLoader.load_checkpoint(str(path))
    assert (tmp_path / 'second').exists()


def test_both_ways_refuse_the_same(tmp_path):
    path = tmp_path / 'evil.pth'
    torch.save({'meta': Touch(tmp_path / 'mark')}, path)
    refused: set[str] = set()
    with pytest.raises(pickle.UnpicklingError):
        _load_restricted(path, None, allowed_types(), refused)
    assert refused == {f'{os.mkdir.__module__}.mkdir'}


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut off', b'not a checkpoint'])
def test_damaged_file_is_named(load, tmp_path, content):
    path = tmp_path / 'damaged.pth'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=path.name):
        load(path)


def test_truncated_file_is_named(load, tmp_path):
    path = tmp_path / 'truncated.pth'
    torch.save(CONTENT, path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(RuntimeError, match=path.name):
        load(path)


def test_missing_file(load, tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / 'nowhere.pth')


class Line(BaseModel):
    """The smallest model a runner takes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, inputs, labels, mode='tensor'):
        out = self.layer(torch.stack(inputs))
        if mode == 'loss':
            return {'loss': (out - torch.stack(labels)).pow(2).mean()}
        return list(out) if mode == 'predict' else out


class MeanOutput(BaseMetric):
    """A metric with a numpy result, which lands in the checkpoint's message hub."""

    def process(self, data_batch, data_samples):
        self.results.extend(float(sample) for sample in data_samples)

    def compute_metrics(self, results):
        return {'mean': np.float64(np.mean(results))}


class Samples(list):
    """Four samples whose meta information holds arrays, as mmpose's has."""

    metainfo = {'sigmas': np.ones(17), 'flip_pairs': [[1, 2]], 'names': {0: 'nose'}}

    def __init__(self) -> None:
        super().__init__((torch.rand(1), torch.rand(1)) for _ in range(4))


def collate(batch):
    inputs, labels = pseudo_collate(batch)
    return {'inputs': inputs, 'labels': labels}


def make_runner(work_dir: Path, name: str, epochs: int, resume: bool = False) -> Runner:
    def loader():
        return DataLoader(Samples(), batch_size=2, collate_fn=collate)

    return Runner(
        model=Line(), work_dir=str(work_dir), train_dataloader=loader(),
        val_dataloader=loader(), val_evaluator=[MeanOutput()], val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, end=2, by_epoch=True),
                         dict(type='CosineAnnealingLR', T_max=4)],
        custom_hooks=[dict(type='EMAHook')],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, save_best='mean',
                                           rule='greater'),
                           logger=dict(type='LoggerHook', interval=1)),
        resume=resume, experiment_name=name)


@pytest.fixture
def plain_scope():
    """Whatever scope other tests left as the default does not apply."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


@pytest.mark.smoke
def test_mmengine_resumes_its_own_checkpoint(tmp_path, plain_scope):
    first = make_runner(tmp_path, f'{tmp_path.name}-first', epochs=2)
    first.train()
    checkpoint = load_checkpoint(Line(), str(tmp_path / 'epoch_2.pth'), 'cpu')
    scalars = checkpoint['message_hub']['log_scalars']
    assert len(scalars['train/loss'].data[0]) == 4
    second = make_runner(tmp_path, f'{tmp_path.name}-second', epochs=3, resume=True)
    second.train()
    assert second.epoch == 3
    assert second.iter == 6
    assert len(second.message_hub.get_scalar('train/loss').data[0]) == 6
    assert next(iter(second.optim_wrapper.optimizer.state.values()))['step'] == 6


@pytest.mark.parametrize('name', ['300w', 'cofw', 'wflw'])
def test_checkpoint_of_a_face_dataset(load, tmp_path, plain_scope, monkeypatch, name):
    """MMPose's face sets have no skeleton: their meta information holds empty arrays."""
    import mmpose
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    folder = Path(mmpose.__file__).parent / '.mim' / 'configs' / '_base_' / 'datasets'
    meta = parse_pose_metainfo(dict(from_file=str(folder / f'{name}.py')))
    assert meta['skeleton_link_colors'].size == 0
    monkeypatch.setattr(Samples, 'metainfo', meta)
    make_runner(tmp_path, tmp_path.name, epochs=1).train()
    found = CheckpointLoader.load_checkpoint(str(tmp_path / 'epoch_1.pth'), 'cpu')
    np.testing.assert_equal(found['meta']['dataset_meta'], meta)


RESUME = '''
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
class Foreign: pass
torch.save({{'loss': {content}}}, {path!r})
CheckpointLoader.load_checkpoint({path!r})
print('loaded')
'''


@pytest.mark.parametrize('content', ['HistoryBuffer([1.], [1])', 'Foreign()'])
def test_fault_of_mmengine(run_repaired, tmp_path, content):
    result = run_repaired(RESUME.format(content=content, path=str(tmp_path / 'a.pth')))
    if HAS_ALLOWLIST:  # a torch whose load is safe, but refuses mmengine's own types
        assert 'UnpicklingError' in result.stderr
    else:
        assert 'loaded' in result.stdout


def test_downloads_are_loaded_safely(tmp_path, monkeypatch):
    evil = tmp_path / 'evil.pth'
    torch.save({'meta': Touch(tmp_path / 'mark')}, evil)
    cache = tmp_path / 'cache'
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(cache))
    with pytest.raises(UnsafeCheckpointError, match=evil.name):
        mmengine.safe_load_url(evil.as_uri(), progress=False)
    assert not (tmp_path / 'mark').exists()


def test_download_is_cached(tmp_path, monkeypatch):
    source = tmp_path / 'weights-0123abcd.pth'
    torch.save({'weight': torch.ones(2)}, source)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'cache'))
    for _ in range(2):
        found = mmengine.safe_load_url(source.as_uri(), progress=False)
        assert found['weight'].tolist() == [1, 1]
        source.unlink(missing_ok=True)  # the second time it comes from the cache


def test_repair_stands_back_where_loading_is_safe():
    assert not mmengine.mend_checkpoint_loading()
