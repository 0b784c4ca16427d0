"""mmengine resumes from what `last_checkpoint` names, be it missing, empty or cut off."""
from __future__ import annotations

import importlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from .repair import RepairSpec
from .safe_load import safe_load

#: What a checkpoint needs for a run to go on from it.
_NEEDED = ('meta', 'state_dict', 'message_hub', 'optimizer')


def find_whole_checkpoint(path: str) -> str | None:
    """Return the checkpoint to resume from: the one in `last_checkpoint`, or the newest whole one.

    Args:
        path: work directory of the run.

    Returns:
        Its path, None if there is none.

    Raises:
        RuntimeError: there are checkpoints, none of which is whole, or `last_checkpoint` names one
            and nothing whole is there; says what is wrong with each.
    """
    from mmengine.logging import print_log

    folder, record = Path(path), Path(path, 'last_checkpoint')
    named = None
    passed: list[str] = []
    if record.exists():
        named = record.read_text(encoding='utf-8', errors='replace').strip('\0 \n')
        if '://' in named or (named and os.path.isdir(named)):
            return named  # of a store elsewhere, or of DeepSpeed
        reason = _fault(Path(named)) if named else 'is empty'
        if reason is None:
            return named
        passed.append(f'{record} ({named[:200]!r}) {reason}' if named else f'{record} {reason}')
    whole: list[tuple[int, float, str]] = []
    for found in sorted(folder.glob('*.pth')):
        if named and Path(named) == found:
            continue  # looked at above
        checkpoint, reason = _read(found)
        if reason is None:
            whole.append((checkpoint['meta']['iter'], found.stat().st_mtime, str(found)))
        elif not found.name.startswith('best_'):  # which hold no optimizer on purpose
            passed.append(f'{found.name} {reason}')
    if not whole and not record.exists():
        return None  # a new run, whatever other files there are
    listed = '; '.join(passed)
    if not whole:
        raise RuntimeError(f'no checkpoint in {folder} is whole, so the run cannot be resumed: '
                           f'{listed}. Begin it anew without --resume, in another work directory '
                           'if these files matter')
    chosen = max(whole)[2]
    print_log(f'resuming from {chosen}, the newest whole checkpoint. Passed over: '
              f'{listed or "nothing; last_checkpoint is missing"}', logger='current',
              level=logging.WARNING)
    return chosen


def _fault(path: Path) -> str | None:
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """Return a checkpoint, and what is wrong with it."""
    if not path.is_file():
        return {}, 'does not exist'
    try:
        checkpoint = safe_load(path, 'cpu')
    except (RuntimeError, OSError) as error:
        return {}, f'cannot be read ({str(error)[:200]})'
    missing = [key for key in _NEEDED if not isinstance(checkpoint, dict) or key not in checkpoint]
    if missing:
        return {}, f'holds no {missing[0]}: no run goes on from it'
    if not isinstance(checkpoint['meta'].get('iter'), int):
        return {}, 'does not say its iteration'
    return checkpoint, None


def mend_latest() -> bool:
    """Let a run resume from the newest checkpoint that is whole."""
    modules = [importlib.import_module(f'mmengine.runner{name}')
               for name in ('.checkpoint', '.runner', '._flexible_runner', '')]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, 'last_checkpoint').touch()
        try:
            modules[0].find_latest_checkpoint(folder)
        except RuntimeError:
            return False
    for module in modules:
        module.find_latest_checkpoint = find_whole_checkpoint
    return True


REPAIRS = (
    RepairSpec(
        'mmengine-latest', 'mmengine',
        'mmengine 0.10.7 cannot resume where last_checkpoint is empty, or names a checkpoint that '
        'is missing or cut off, though whole ones lie beside it',
        mend_latest),
)
