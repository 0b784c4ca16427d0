"""A run resumes from the newest whole checkpoint, whatever `last_checkpoint` says."""
from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mmengine.runner import find_latest_checkpoint

import razor_ext  # noqa: F401
from razor_ext.compat import mmengine_latest

from .tiny_run import Stopped, make_run, weights


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('latest') / 'run'
    with pytest.raises(Stopped):
        make_run(folder, stop=10, checkpoint=dict(save_best='mean', rule='greater')).train()
    return folder


def _copy(work_dir: Path, tmp_path: Path) -> Path:
    """Copy a run so that times say nothing of the order."""
    folder = tmp_path / 'run'
    shutil.copytree(work_dir, folder)
    for path in folder.glob('*.pth'):
        os.utime(path, (0, 0))
    (folder / 'last_checkpoint').write_text(str(folder / 'epoch_2.pth'))
    return folder


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


DAMAGES = {
    'empty': lambda folder: (folder / 'last_checkpoint').write_text(''),
    'zeros': lambda folder: (folder / 'last_checkpoint').write_bytes(bytes(40)),
    'cut off': lambda folder: (folder / 'last_checkpoint').write_text(str(folder / 'epoc')),
    'missing': lambda folder: (folder / 'last_checkpoint').unlink(),
    'of another place': lambda folder: (folder / 'last_checkpoint').write_text('/gone/epoch_2.pth'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_the_newest_whole_one_is_taken(work_dir, tmp_path, damage):
    folder = _copy(work_dir, tmp_path)
    DAMAGES[damage](folder)
    assert find_latest_checkpoint(str(folder)) == str(folder / 'epoch_2.pth')
    _cut(folder / 'epoch_2.pth')
    assert find_latest_checkpoint(str(folder)) == str(folder / 'epoch_1.pth')


def test_a_run_goes_on_from_it_and_says_so(work_dir, tmp_path, caplog):
    folder = _copy(work_dir, tmp_path)
    _cut(folder / 'epoch_2.pth')
    again = make_run(folder, resume=True)
    with caplog.at_level('WARNING'):
        again.logger.addHandler(caplog.handler)
        again.train()
    assert again.iter == 12
    whole = make_run(tmp_path / 'whole')
    whole.train()
    assert weights(again) == weights(whole)
    assert 'epoch_1.pth, the newest whole checkpoint' in caplog.text
    assert 'epoch_2.pth' in caplog.text


def test_nothing_whole_is_an_error_that_names_each_file(work_dir, tmp_path):
    folder = _copy(work_dir, tmp_path)
    for path in folder.glob('epoch_*.pth'):
        _cut(path)
    with pytest.raises(RuntimeError, match=r'no checkpoint in .*epoch_2.*epoch_1') as caught:
        find_latest_checkpoint(str(folder))
    assert 'without --resume' in str(caught.value)


def test_a_new_folder_has_none(tmp_path):
    assert find_latest_checkpoint(str(tmp_path)) is None
    (tmp_path / 'dense.pth').write_bytes(b'of something else')
    assert find_latest_checkpoint(str(tmp_path)) is None


def test_what_last_checkpoint_names_elsewhere_is_taken_as_it_is(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('s3://store/epoch_1.pth')
    assert find_latest_checkpoint(str(tmp_path)) == 's3://store/epoch_1.pth'


def test_repair_stands_back_where_upstream_is_whole():
    assert not mmengine_latest.mend_latest()
