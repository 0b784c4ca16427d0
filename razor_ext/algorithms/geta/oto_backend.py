"""The published optimizers over our groups: HESSO of ``only_train_once``, GETA of a user's clone.

Only their optimizers are used, never their graph, whose import fails on recent torch.
"""
from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.optim import Optimizer

from razor_ext.pruning.channel_index import ChannelIndex

_PACKAGE = 'only_train_once'
# Values of its TensorTransform.
_NO_PRUNE, _BASIC, _TRANSPOSE = 1, 2, 9
# Scales of its quantized layers: they ride in the group of their layer's weight.
_SCALES = frozenset(f'{name}_{side}' for name in ('d_quant', 'q_m', 't_quant')
                    for side in ('wt', 'act'))


def _locate(clone: str | Path | None) -> Path:
    if clone is not None:
        path = Path(clone).expanduser() / _PACKAGE
        if not (path / 'optimizer' / 'geta.py').is_file():
            raise ValueError(f'{clone} is no clone of GETA: {path}/optimizer/geta.py is missing')
        return path
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"{_PACKAGE} is not installed: pip install 'only_train_once==3.0.1'")
    return Path(spec.submodule_search_locations[0])


def _import_optimizer(name: str, clone: str | Path | None) -> type:
    """Import one optimizer module without running the package's own ``__init__``."""
    path = _locate(clone)
    module_name = f'{_PACKAGE}.optimizer.{name}'
    loaded = sys.modules.get(f'{_PACKAGE}.optimizer')
    origin = Path(loaded.__file__).parent.parent if loaded and loaded.__file__ else path
    if origin != path:
        raise ImportError(f'{_PACKAGE} is already loaded from {origin}, and cannot be loaded from '
                          f'{path} in the same process')
    absent = _PACKAGE not in sys.modules
    if absent:
        package = types.ModuleType(_PACKAGE)
        package.__path__ = [str(path)]
        sys.modules[_PACKAGE] = package
    try:
        module = importlib.import_module(module_name)
    finally:
        if absent:
            del sys.modules[_PACKAGE]
    return getattr(module, name.upper())


def param_groups(index: ChannelIndex, named_parameters: Mapping[str, Tensor] | Iterable
                 ) -> list[dict[str, Any]]:
    """Express groups in the published format: one param group per unit, one for the rest.

    Raises:
        ValueError: A unit that the format cannot hold (positions that are not the whole of the
            first or second dimension, in order).
    """
    result, parameters = [], dict(named_parameters)
    starts = [*index.starts, index.total]
    by_unit: dict[int, list] = {u: [] for u in range(len(index.sizes))}
    for entry in index.entries:
        unit = int(torch.searchsorted(torch.tensor(starts), entry.channels.min(), right=True)) - 1
        whole = torch.arange(starts[unit], starts[unit + 1])
        if entry.dim > 1 or not torch.equal(entry.channels, whole):
            raise ValueError(f'{entry.name} of unit {index.unit_names[unit]} cannot be expressed '
                             f"in the format of {_PACKAGE}: use this package's QASSO or HESSO, or "
                             'keep the unit from being pruned')
        by_unit[unit].append(entry)
    for unit, entries in by_unit.items():
        members = {e.name: e.param for e in entries}
        layers = {name.rpartition('.')[0] for name in members}
        scales = {n: p for n, p in parameters.items()
                  if n.rpartition('.')[0] in layers and n.rpartition('.')[2] in _SCALES}
        transforms = [_TRANSPOSE if e.dim else _BASIC for e in entries]
        result.append(_group(str(unit), index.sizes[unit], True, {**members, **scales},
                             transforms + [_NO_PRUNE] * len(scales)))
    grouped = {id(p) for group in result for p in group['params']}
    rest = {n: p for n, p in parameters.items() if id(p) not in grouped}
    if rest:
        result.append(_group('rest', 1, False, rest, [_NO_PRUNE] * len(rest)))
    return result


def _group(group_id: str, size: int, prunable: bool, params: dict[str, Tensor],
           transforms: list[int]) -> dict[str, Any]:
    return {'id': group_id, 'num_groups': size, 'is_prunable': prunable, 'is_auxiliary': False,
            'p_names': list(params), 'params': list(params.values()), 'op_names': [],
            'p_transform': transforms, 'auxiliary_ngs': [], 'op': None, 'node_ids': []}


def build_oto_optimizer(name: str, index: ChannelIndex,
                        named_parameters: Mapping[str, Tensor] | Iterable, *,
                        clone: str | Path | None = None, **options: Any) -> Optimizer:
    """Build a published optimizer over our groups.

    Its state cannot be restored (its own saves omit what was pruned), so loading one is refused.

    Args:
        name: ``'hesso'`` (installed package) or ``'geta'`` (needs ``clone``).
        index: Groups.
        named_parameters: All trained parameters by name.
        clone: Folder of a clone of GETA.
        options: Keyword arguments of the published optimizer.

    Raises:
        ValueError: An unknown name, a missing clone, or groups that its format cannot hold.
        ImportError: The package is not installed.
    """
    if name not in ('hesso', 'geta'):
        raise ValueError(f"backend optimizer {name!r}: 'hesso' or 'geta'")
    if name == 'geta' and clone is None:
        raise ValueError("backend optimizer 'geta' is in no published package: give clone=, the "
                         'folder of a clone of its repository')
    upstream: Any = _import_optimizer(name, clone)
    device = index.device

    class Backend(upstream):
        """The published optimizer, on any device."""

        def identify_redundant_groups(self) -> None:
            # It asks for a CUDA tensor whatever the parameters' device.
            with mock.patch.object(Tensor, 'cuda', lambda tensor, *_, **__: tensor.to(device)):
                super().identify_redundant_groups()

        def step(self, closure=None):
            loss = None
            if closure is not None:
                with torch.enable_grad():
                    loss = closure()
            with torch.no_grad():
                super().step()
                if index.shares:
                    index.set_shares((~index.zeros()).float())
            return loss

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            raise ValueError(f'{_PACKAGE} saves no record of what it has pruned: a run with this '
                             'backend cannot be resumed; start it again')

    Backend.__name__ = Backend.__qualname__ = name.upper()
    return Backend(param_groups(index, named_parameters), **options)
