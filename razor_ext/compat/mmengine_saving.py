"""mmengine writes files in place, and deletes a checkpoint before its successor is written."""
from __future__ import annotations

import functools
import os
import tempfile
import types
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from razor_ext.atomic import write_bytes

from .repair import RepairSpec


def _writes_in_place(backend: Any) -> bool:
    """Return whether a file that is written again keeps its inode, so that a kill cuts it off."""
    with tempfile.TemporaryDirectory() as folder:
        path, link = Path(folder, 'file'), Path(folder, 'link')
        backend.put(b'old', path)
        try:
            os.link(path, link)
        except OSError:  # a file system without links
            return True
        backend.put(b'new', path)
        return link.read_bytes() != b'old'


def mend_writing() -> bool:
    """Write local files under a temporary name, and rename them when they are on the disk."""
    from mmengine.fileio.backends import LocalBackend

    if not _writes_in_place(LocalBackend()):
        return False

    def put(self: LocalBackend, obj: bytes, filepath: str | Path) -> None:
        """Write bytes atomically; see mmengine's method."""
        write_bytes(filepath, obj)

    def put_text(self: LocalBackend, obj: str, filepath: str | Path,
                 encoding: str = 'utf-8') -> None:
        """Write text atomically; see mmengine's method."""
        write_bytes(filepath, obj.encode(encoding))

    LocalBackend.put, LocalBackend.put_text = put, put_text
    return True


class _LateRemoval:
    """A file backend whose removals wait.

    Args:
        backend: where files are.
    """

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.waiting: list[tuple[Any, str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.waiting.append((self.backend.remove, path))

    def rmtree(self, path: str) -> None:
        self.waiting.append((self.backend.rmtree, path))


@contextmanager
def _removing_late(hook: Any) -> Iterator[None]:
    """Let a CheckpointHook delete nothing before what it saves is whole and named.

    The path of a new file is not deleted, though the file that it replaces had the same.
    """
    backend = hook.file_backend
    if isinstance(backend, _LateRemoval):  # saving the best saves the last again
        yield
        return
    late = hook.file_backend = _LateRemoval(backend)
    try:
        yield
    finally:
        hook.file_backend = backend
    new = {hook.last_ckpt, getattr(hook, 'best_ckpt_path', None),
           *(getattr(hook, 'best_ckpt_path_dict', None) or {}).values()}
    for remove, path in late.waiting:
        if path not in new:
            remove(path)


def _deletes_first(hook_class: type) -> bool:
    """Return whether the old checkpoint is gone while the new one is written."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        from mmengine.fileio.backends import LocalBackend

        old = Path(folder, 'iter_1.pth')
        old.touch()
        hook = hook_class(by_epoch=False, max_keep_ckpts=1)
        hook.file_backend, hook.out_dir, hook.keep_ckpt_ids = LocalBackend(), folder, deque([1], 1)
        runner = types.SimpleNamespace(
            work_dir=folder, train_loop=None,
            message_hub=types.SimpleNamespace(update_info=lambda *_: None),
            save_checkpoint=lambda *_, **__: found.append(old.exists()))
        hook._save_checkpoint_with_step(runner, 2, {})
    return not found[0]


def mend_deletion() -> bool:
    """Delete old checkpoints when the new one and `last_checkpoint` are on the disk."""
    from mmengine.hooks import CheckpointHook, checkpoint_hook

    if not _deletes_first(CheckpointHook):
        return False
    for name in ('_save_checkpoint_with_step', '_save_best_checkpoint'):
        setattr(CheckpointHook, name, _with_late_removal(getattr(CheckpointHook, name)))
    vars(checkpoint_hook)['open'] = _open_whole  # for last_checkpoint
    return True


def _with_late_removal(method: Any) -> Any:
    @functools.wraps(method)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        with _removing_late(self):
            method(self, *args, **kwargs)

    return wrapped


@contextmanager
def _open_whole(path: str, mode: str) -> Iterator[Any]:
    """Stand for `open(path, 'w')` of a text that is there whole or not at all."""
    parts: list[str] = []
    yield types.SimpleNamespace(write=parts.append)
    write_bytes(path, ''.join(parts).encode())


REPAIRS = (
    RepairSpec(
        'mmengine-writing', 'mmengine',
        'mmengine 0.10.7 writes files in place: a process that is killed leaves half a checkpoint',
        mend_writing),
    RepairSpec(
        'mmengine-deletion', 'mmengine',
        'mmengine 0.10.7 deletes an old checkpoint before the new one is written, and '
        'last_checkpoint is empty for a moment: a run that is killed there is lost',
        mend_deletion),
)
