"""mmengine loads checkpoints by a bare ``torch.load``."""
from __future__ import annotations

import importlib
import pickle
import tempfile
import types
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from .repair import RepairSpec
from .safe_load import safe_load


class _Foreign:
    """A type no checkpoint needs, to see whether a loader refuses it."""


def _loads_safely(checkpoint: types.ModuleType) -> bool:
    """Return whether mmengine loads its own log histories and refuses foreign types."""
    from mmengine.logging import HistoryBuffer

    with tempfile.TemporaryDirectory() as folder:
        own, foreign = str(Path(folder, 'own.pth')), str(Path(folder, 'foreign.pth'))
        torch.save({'loss': HistoryBuffer([1.0], [1])}, own)
        torch.save({'loss': _Foreign()}, foreign)
        try:
            checkpoint.load_from_local(own, 'cpu')
        except pickle.UnpicklingError:
            return False
        try:
            checkpoint.load_from_local(foreign, 'cpu')
        except RuntimeError:
            return True
        except pickle.UnpicklingError:
            return True
        return False


class _SafeTorch(types.ModuleType):
    """torch as mmengine's checkpoint module sees it: everything but ``load`` is torch's own."""

    load = staticmethod(safe_load)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def safe_load_url(url: str, model_dir: str | None = None, map_location: Any = None,
                  progress: bool = True, check_hash: bool = False,
                  file_name: str | None = None) -> Any:
    """Download a checkpoint unless it is cached, as ``torch.hub`` does, and load it safely.

    Args:
        url: Address of the file.
        model_dir: Cache folder; defaults to torch.hub's.
        map_location: As for :func:`torch.load`.
        progress: Show a progress bar.
        check_hash: Compare with the hash in the file name.
        file_name: Name in the cache; defaults to the one in the address.

    Returns:
        What the file holds.
    """
    name = file_name or Path(urlparse(url).path).name
    cached = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'), name)
    if not cached.exists():
        cached.parent.mkdir(parents=True, exist_ok=True)
        found = torch.hub.HASH_REGEX.search(name) if check_hash else None
        torch.hub.download_url_to_file(url, str(cached), found and found.group(1), progress)
    return safe_load(cached, map_location)


def mend_checkpoint_loading() -> bool:
    """Load every checkpoint through :func:`safe_load`.

    Depending on torch, a bare ``torch.load`` either refuses mmengine's own epoch checkpoints or
    runs whatever a file brings.
    """
    checkpoint = importlib.import_module('mmengine.runner.checkpoint')
    if _loads_safely(checkpoint):
        return False
    checkpoint.torch = _SafeTorch('torch', torch.__doc__)
    checkpoint.load_url = safe_load_url
    return True


REPAIRS = (
    RepairSpec(
        'mmengine-checkpoint', 'mmengine',
        'mmengine 0.10.7 cannot load its own epoch checkpoints on torch 2.6 or newer, and loads '
        'any pickle on older ones',
        mend_checkpoint_loading),
)
