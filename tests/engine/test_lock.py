"""A folder is written by one process at a time; a killed one holds nothing."""
from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from razor_ext.engine.lock import LOCK, FolderInUseError, folder_lock

FORK = multiprocessing.get_context('fork')


def _hold(folder: str, ready: object, orphan: bool) -> None:
    with folder_lock(folder, 'run'):
        if orphan and os.fork() == 0:  # as the worker of a dataloader, which lives on for a while
            signal.alarm(60)
            signal.pause()
        ready.set()
        signal.pause()


@pytest.mark.parametrize('orphan', [False, True])
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path,
                                                               orphan: bool) -> None:
    ready = FORK.Event()
    first = FORK.Process(target=_hold, args=(str(tmp_path), ready, orphan))
    first.start()
    assert ready.wait(60)
    with pytest.raises(FolderInUseError, match=rf'in use: another run .*process {first.pid}\)'), \
            folder_lock(tmp_path, 'run'):
        pass
    first.kill()
    first.join()
    assert (tmp_path / LOCK).exists()
    with folder_lock(tmp_path, 'run'):
        pass
    assert not (tmp_path / LOCK).exists()
