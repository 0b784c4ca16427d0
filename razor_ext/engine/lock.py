"""One process writes into a folder at a time."""
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.logging import print_log

try:
    import fcntl
except ImportError:  # Windows: folders are not locked
    fcntl = None  # type: ignore[assignment]

#: Locked by the process that writes; a file that a killed one leaves says nothing.
LOCK = '.lock'


class FolderInUseError(RuntimeError):
    """Another process writes into the folder."""


@contextmanager
def folder_lock(folder: str | os.PathLike, what: str) -> Iterator[None]:
    """Hold a folder; the system gives it free when the process ends, however it does.

    Args:
        folder: where; it is created.
        what: what is written there, for the message.

    Raises:
        FolderInUseError: another process holds it.
    """
    path = Path(folder, LOCK)
    path.parent.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    handle = _open_taken(path, what)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _open_taken(path: Path, what: str) -> int:
    """Return the lock file, opened and locked."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(handle, path, what)
            if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its holder has removed it in between


def _take(handle: int, path: Path, what: str) -> None:
    try:
        # Of the process, not of the open file, so that workers it leaves behind hold nothing.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            print_log(f'{path.parent} cannot be locked ({error}): see that no other process '
                      'writes there', logger='current', level=30)
            return
        owner = os.pread(handle, 20, 0).decode(errors='replace').strip()
        raise FolderInUseError(
            f'{path.parent} is in use: another {what} writes there'
            + (f' (process {owner})' if owner else '')
            + '; wait until it ends, or choose another --work-dir') from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f'{os.getpid()}\n'.encode(), 0)
