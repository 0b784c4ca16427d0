"""Checkpoints: the old one goes when the new one is whole and named."""
from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from mmengine.fileio.backends import LocalBackend

import razor_ext  # noqa: F401
from razor_ext import atomic
from razor_ext.compat import mmengine_saving

from .tiny_run import make_run

KILL_POINTS = ('before', 'half', 'whole', 'renamed')


class Killed(BaseException):
    """Stands for a kill: nothing after it runs but what the interpreter unwinds."""


def _kill_writing(patch: pytest.MonkeyPatch, name: str, point: str, skip: int) -> None:
    """End the process's life while a file of this name is written, after `skip` such writes."""
    replace, count = os.replace, [skip]

    def killing(source: Path, target: Path) -> None:
        if Path(target).name.startswith(name):
            count[0] -= 1
            if count[0] < 0:
                if point == 'renamed':
                    replace(source, target)
                elif point == 'half':
                    os.truncate(source, os.path.getsize(source) // 2)
                elif point == 'before':
                    os.truncate(source, 0)
                raise Killed
        replace(source, target)

    patch.setattr(atomic.os, 'replace', killing)


@pytest.mark.parametrize('point', KILL_POINTS)
@pytest.mark.parametrize('name', ['epoch_', 'last_checkpoint', 'best_'])
def test_a_kill_while_anything_is_written_keeps_a_whole_checkpoint(tmp_path, monkeypatch, name,
                                                                   point):
    options = dict(max_keep_ckpts=1, save_best='mean', rule='greater')
    with monkeypatch.context() as patch, pytest.raises(Killed):
        _kill_writing(patch, name, point, skip=0 if name == 'best_' else 1)
        make_run(tmp_path / 'run', checkpoint=options).train()
    named = (tmp_path / 'run' / 'last_checkpoint').read_text()
    assert torch.load(named, weights_only=False)['meta']['epoch'] >= 1
    again = make_run(tmp_path / 'run', checkpoint=options, resume=True)
    again.train()
    assert again.iter == 12
    assert (tmp_path / 'run' / 'epoch_3.pth').exists()
    assert not list((tmp_path / 'run').glob('.*.tmp'))


def test_old_checkpoints_still_go(tmp_path):
    make_run(tmp_path, checkpoint=dict(max_keep_ckpts=2, save_best='mean', rule='greater')).train()
    kept = sorted(path.name for path in tmp_path.glob('*.pth'))
    assert kept[-2:] == ['epoch_2.pth', 'epoch_3.pth']
    assert len(kept) == 3 and kept[0].startswith('best_mean_epoch_')


def test_a_full_disk_keeps_what_there_was(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    LocalBackend().put(b'old', path)

    def full(handle: int) -> None:
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(atomic.os, 'fsync', full)
    with pytest.raises(OSError, match=r'no space is left to write .*epoch_1\.pth'):
        LocalBackend().put(b'new', path)
    assert path.read_bytes() == b'old' and len(list(tmp_path.iterdir())) == 1


IN_PLACE = '''
import os
from mmengine.fileio.backends import LocalBackend
backend = LocalBackend()
backend.put(b'old', {path!r})
os.link({path!r}, {path!r} + '.link')
backend.put(b'new', {path!r})
print(open({path!r} + '.link').read())
'''


@pytest.mark.parametrize(('keep', 'kept'), [((), 'new'), (('mmengine-writing', ), 'old')])
def test_fault_of_mmengine(run_repaired, tmp_path, keep, kept):
    result = run_repaired(IN_PLACE.format(path=str(tmp_path / 'a')), keep)
    assert kept in result.stdout.split()


def test_repairs_stand_back_where_upstream_is_whole():
    assert not mmengine_saving.mend_writing()
    assert not mmengine_saving.mend_deletion()
