"""One word about an error that ends several ranks."""
from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def told_once(*plain: type[Exception]) -> Iterator[None]:
    """Show an error of several ranks of one machine once, with its cause, and end with status 1.

    Each rank would print a traceback of its own, one into the other; and where one has failed, the
    ranks that miss it fail as well, later and for no reason of theirs. The first to fail prints its
    traceback, the others a line each. An error of a single process passes.

    Args:
        *plain: errors that pass in any case.

    Raises:
        SystemExit: a rank of several has failed.
    """
    if int(os.environ.get('WORLD_SIZE', '1')) == 1:
        yield
        return
    rank, note = os.environ.get('RANK', '?'), _note()
    if os.environ.get('LOCAL_RANK') == '0':
        note.unlink(missing_ok=True)  # of an earlier launcher of this number
    try:
        yield
    except plain:
        raise
    except Exception as error:
        said = f'{type(error).__name__}: {error}'.strip()
        first = _write_first(note, f'{rank}\n{said}')
        if first is None:
            _print(f'{traceback.format_exc()}rank {rank} has failed first: what other ranks say '
                   'below is the same, or follows from it')
        else:
            other, _, cause = first.partition('\n')
            same = cause == said
            _print(f'rank {rank}: ' + (f'the same error as rank {other}' if same else
                                       f'{said.splitlines()[0][:200]} (after rank {other})'))
        raise SystemExit(1) from None


def _note() -> Path:
    """Return the file that the ranks of one launcher share."""
    name = f'razor_ext-{os.getppid()}-{os.environ.get("MASTER_PORT", "")}'
    return Path(tempfile.gettempdir(), name)


def _write_first(note: Path, text: str) -> str | None:
    """Write the note unless another rank has; return what that one wrote."""
    with suppress(FileExistsError), open(note, 'x', encoding='utf-8') as file:
        file.write(text)
        return None
    return note.read_text(encoding='utf-8')


def _print(text: str) -> None:
    # In one piece: the ranks share a console.
    sys.stderr.write(text + '\n')
    sys.stderr.flush()
