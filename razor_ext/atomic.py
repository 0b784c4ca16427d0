"""Files appear whole or not at all, whenever the process is killed."""
from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: leftovers stay
    fcntl = None  # type: ignore[assignment]

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, which replaces it when the block succeeds.

    The content is on the disk before the name points to it. Temporary files that killed processes
    have left for the same name are removed.

    Args:
        path: the file to write; its folder is created.

    Yields:
        The temporary path. It is removed, and `path` left as it was, if the block raises.

    Raises:
        OSError: the file cannot be written; of a full disk, the message says what is kept.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    lock = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(lock)
        yield temporary
        _sync(temporary)
        os.replace(temporary, target)
        _sync(target.parent)
    except OSError as error:
        explain_full_disk(error, target)
        raise
    finally:
        os.close(lock)
        temporary.unlink(missing_ok=True)


def explain_full_disk(error: OSError, target: str | os.PathLike) -> None:
    """Raise an error that says what is kept, if `error` is that of a full disk.

    Args:
        error: what writing has raised.
        target: the file or folder that could not be written, and is as before.

    Raises:
        OSError: the disk is full.
    """
    if error.errno in _NO_SPACE:
        raise OSError(error.errno, f'no space is left to write {os.fspath(target)}, which is as it '
                      'was before: free some, or choose another folder') from error


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write `content`, atomically.

    Args:
        path: the file to write.
        content: all of it.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `content` as indented JSON, atomically.

    Args:
        path: the file to write.
        content: anything `json` can dump.
    """
    write_bytes(path, (json.dumps(content, indent=4) + '\n').encode())


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name == 'nt':
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync folders
            raise
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Take the lock that says that the writer lives; return whether it was free."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # taken, or the file system has no locks
        return False
    return True


def _remove_leftovers(target: Path) -> None:
    prefix, suffix = f'.{target.name}.', '.tmp'
    for path in target.parent.iterdir():
        number = path.name[len(prefix):-len(suffix)]
        if not (path.name.startswith(prefix) and path.name.endswith(suffix) and number.isdigit()):
            continue
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue  # its writer was faster, or it is another user's
        try:
            if _lock(handle):
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)
