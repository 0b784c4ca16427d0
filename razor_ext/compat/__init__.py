"""Repairs of upstream packages, applied once by ``import razor_ext``.

One module per upstream package, each with a tuple ``REPAIRS``. A repair tests for the fault itself,
never for a version, and does nothing where upstream is whole. ``RAZOR_EXT_SKIP_REPAIRS`` (names
separated by commas, or ``all``) leaves repairs out, to see the fault behind one.
"""
from __future__ import annotations

import functools

from . import (
    mmcv,
    mmdeploy,
    mmengine,
    mmengine_datasets,
    mmengine_hooks,
    mmengine_latest,
    mmengine_resume,
    mmengine_saving,
    mmpose,
    mmpretrain,
    mmrazor_demo_inputs,
    mmrazor_expandable,
    mmrazor_quantization,
    mmrazor_recursion,
    only_train_once,
    sync_batchnorm,
)
from .repair import (
    NOT_IMPORTABLE,
    Repair,
    RepairSpec,
    is_installed,
    run_repair,
    skipped_names,
)
from .safe_load import UnsafeCheckpointError, safe_load

# In this order: importing MMRazor's models needs those before mmrazor_demo_inputs, and importing
# MMDetection tries to import mmpretrain.
MODULES = (mmcv, mmengine, mmengine_datasets, mmengine_hooks, mmengine_saving, mmengine_resume,
           mmengine_latest, mmpretrain, mmpose, mmrazor_quantization, mmrazor_demo_inputs,
           mmrazor_expandable, mmrazor_recursion, sync_batchnorm, mmdeploy, only_train_once)


def specs() -> tuple[RepairSpec, ...]:
    """Return every repair, in the order in which they are made."""
    return tuple(spec for module in MODULES for spec in module.REPAIRS)


@functools.cache
def apply() -> tuple[Repair, ...]:
    """Make every repair that is needed; later calls return the record of the first."""
    skip = skipped_names()
    unknown = skip - {spec.name for spec in specs()} - {'all'}
    if unknown:
        raise ValueError(
            f'RAZOR_EXT_SKIP_REPAIRS names {sorted(unknown)}, which is not a repair; known: '
            f'{", ".join(spec.name for spec in specs())}, all')
    return tuple(run_repair(spec, skip) for spec in specs())


def is_usable(package: str) -> bool:
    """Return whether a package is installed and no repair found that it cannot be imported."""
    return is_installed(package) and not any(
        repair.package == package and repair.state == NOT_IMPORTABLE for repair in apply())


__all__ = ['Repair', 'UnsafeCheckpointError', 'apply', 'is_usable', 'safe_load', 'specs']
