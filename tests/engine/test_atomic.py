"""Files appear whole or not at all."""
from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from razor_ext.engine import atomic_write, write_json


@pytest.mark.smoke
def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / 'file.json'
    write_json(path, {'a': 1})
    with pytest.raises(RuntimeError, match='stop'), atomic_write(path) as temporary:
        temporary.write_text('half')
        raise RuntimeError('stop')
    assert json.loads(path.read_text()) == {'a': 1}
    assert [entry.name for entry in path.parent.iterdir()] == ['file.json']


def _write_and_wait(path: str, ready: object) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text('half')
        ready.set()
        signal.pause()


def test_what_killed_writers_leave_is_removed_and_what_living_ones_write_is_not(
        tmp_path: Path) -> None:
    fork, path = multiprocessing.get_context('fork'), tmp_path / 'file.json'
    ready = [fork.Event(), fork.Event()]
    writers = [fork.Process(target=_write_and_wait, args=(str(path), event)) for event in ready]
    for writer, event in zip(writers, ready):
        writer.start()
        assert event.wait(60)
    writers[0].kill()
    writers[0].join()
    write_json(path, 1)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    writers[1].kill()
    writers[1].join()
    assert names == [f'.file.json.{writers[1].pid}.tmp', 'file.json']
    write_json(path, 2)
    assert [entry.name for entry in tmp_path.iterdir()] == ['file.json']


def test_a_full_disk_is_named_and_keeps_the_old_file(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / 'file.json'
    write_json(path, 1)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'no space is left to write .*file\.json, which is as it w'):
        write_json(path, 2)
    assert json.loads(path.read_text()) == 1
