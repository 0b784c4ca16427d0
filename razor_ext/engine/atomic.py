"""Files that appear whole or not at all."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`, which replaces it when the block succeeds.

    Args:
        path: the file to write; its folder is created.

    Yields:
        The temporary path. It is removed, and `path` left as it was, if the block raises.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f'.{target.name}.{os.getpid()}.tmp')
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write `content` as indented JSON, atomically.

    Args:
        path: the file to write.
        content: anything `json` can dump.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=4) + '\n', encoding='utf-8')
