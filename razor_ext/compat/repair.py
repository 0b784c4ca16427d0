"""What a repair of an upstream package is, and the record of what became of it."""
from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass
from typing import Callable

SKIP_VARIABLE = 'RAZOR_EXT_SKIP_REPAIRS'
"""Names of repairs to leave out, separated by commas; ``all`` leaves out every one."""

APPLIED = 'applied'
NOT_NEEDED = 'not needed'
PACKAGE_MISSING = 'package missing'
NOT_IMPORTABLE = 'package not importable'
SKIPPED = 'skipped'


@dataclass(frozen=True)
class RepairSpec:
    """One repair of one upstream package.

    Args:
        name: Unique name, also the one to give in ``RAZOR_EXT_SKIP_REPAIRS``.
        package: Top-level package the fault is in; without it there is nothing to repair.
        reason: What is wrong upstream, in one sentence.
        apply: Tests for the fault and repairs it; returns whether there was anything to do.
        needs: Further top-level packages without which nobody meets the fault.
    """

    name: str
    package: str
    reason: str
    apply: Callable[[], bool]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Repair:
    """What became of one repair: `state` is one of this module's constants."""

    name: str
    package: str
    reason: str
    state: str
    detail: str = ''


def is_installed(package: str) -> bool:
    """Return whether a top-level package can be found, without importing it."""
    return importlib.util.find_spec(package) is not None


def skipped_names() -> frozenset[str]:
    """Return the repair names listed in ``RAZOR_EXT_SKIP_REPAIRS``."""
    listed = os.environ.get(SKIP_VARIABLE, '').split(',')
    return frozenset(name.strip() for name in listed if name.strip())


def run_repair(spec: RepairSpec, skip: frozenset[str]) -> Repair:
    """Run one repair and record what became of it.

    A package that is installed but cannot be imported (a missing dependency, a version it refuses
    itself) is recorded with its own message, so that the parts which do not use it keep working.
    """
    detail = ''
    missing = [name for name in (spec.package, *spec.needs) if not is_installed(name)]
    if spec.name in skip or 'all' in skip:
        state = SKIPPED
    elif missing:
        state, detail = PACKAGE_MISSING, ', '.join(missing)
    else:
        try:
            state = APPLIED if spec.apply() else NOT_NEEDED
        except (ImportError, AssertionError) as error:
            state, detail = NOT_IMPORTABLE, f'{type(error).__name__}: {error}'
            logging.getLogger('razor_ext').warning(
                'Repair %s: %s cannot be imported (%s). `python -m razor_ext.check_env` says how '
                'to repair it.', spec.name, spec.package, detail)
    return Repair(spec.name, spec.package, spec.reason, state, detail)
