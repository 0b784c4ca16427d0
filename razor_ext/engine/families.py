"""Model families, found by one registration: an entry point of the group `razor_ext.families`.

A family is what compression has to know of one kind of models. The package's own are declared in
its setup.py, as those of any other distribution are:

    entry_points={'razor_ext.families': ['toy = toy_family.family:FAMILY']}

The object lies in a module that imports nothing heavy, since it is read before it is known whether
the family's packages are installed:

    # toy_family/family.py
    from razor_ext.engine.families import Family

    FAMILY = Family(name='toy', modules=('toy_family.models', 'toy_family.fixers'),
                    demo_inputs={'toy_family.models.ToyRegressor': (1, 3, 16, 16)})

`toy_family/__init__.py` begins with `import razor_ext` and imports none of these modules before.
Otherwise, where `toy_family` is imported first, its modules import `razor_ext`, which imports the
family while they are half imported.

Entry points are read from the metadata of the installed distribution. A source tree that is used
without installing it, or was updated since, has none or old ones: a warning and
`python -m razor_ext.check_env` say so, and `bash tools/setup_env.sh` writes them anew.
"""
from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Any, Callable

from mmengine.registry import MODELS

from razor_ext.compat import is_usable

from .family import Deployment, Distillation, Family

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config
    from torch import nn

GROUP = 'razor_ext.families'

LOADED = 'loaded'
PACKAGE_MISSING = 'package missing'
BROKEN = 'broken'

STALE = (
    'The installed metadata of razor_ext declare no model family: they are older than its source. '
    'Run `bash tools/setup_env.sh`, or `pip install --no-deps --no-build-isolation -e .`, in the '
    'source tree.')


class FamilyError(ValueError):
    """An entry point that is no family, or two families of one name."""


@dataclass(frozen=True)
class FamilyRecord:
    """One entry point and what became of it: `state` is one of this module's constants."""

    entry_point: str
    state: str
    detail: str = ''
    family: Family | None = None

    @property
    def name(self) -> str:
        """Name of the family, of the entry point where it could not be read."""
        return self.entry_point.partition(' = ')[0] if self.family is None else self.family.name


def find_entry_points() -> list[metadata.EntryPoint]:
    """Return the entry points of the group in the order of their names, each once."""
    if sys.version_info >= (3, 10):
        found = metadata.entry_points(group=GROUP)
    else:  # lists a distribution twice that lies on two folders of the path
        found = metadata.entry_points().get(GROUP, ())
    return sorted(set(found), key=lambda point: (point.name, point.value))


def is_stale(points: Sequence[metadata.EntryPoint]) -> bool:
    """Return whether none of the entry points is of this package, which declares its own."""
    package = __name__.partition('.')[0]
    return all(point.value.partition('.')[0] != package for point in points)


@functools.cache
def load_families() -> tuple[FamilyRecord, ...]:
    """Read every family and import its modules; later calls return the record of the first.

    Where a module cannot be imported, a warning says so and the other families go on.

    Raises:
        FamilyError: If an entry point is no `Family`, or two have one name.
    """
    points = find_entry_points()
    if is_stale(points):
        _logger().warning(STALE)
    records = [_read(point) for point in points]
    by_name: dict[str, FamilyRecord] = {}
    for record in records:
        other = record if record.family is None else by_name.setdefault(record.name, record)
        if other is not record:
            raise FamilyError(
                f'two model families are named {record.name!r}: the entry points '
                f'{other.entry_point!r} and {record.entry_point!r} of the group {GROUP}; uninstall '
                'one of the distributions, or rename its family')
    return tuple(_import(record) for record in records)


def _read(point: metadata.EntryPoint) -> FamilyRecord:
    text = f'{point.name} = {point.value}'
    try:
        family = point.load()
    except Exception as error:  # of a third party's module
        return _broken(text, error)
    if not isinstance(family, Family):
        raise FamilyError(f'the entry point {text!r} of the group {GROUP} is a '
                          f'{type(family).__name__}, not a {__name__}.Family; correct it in the '
                          'setup of the distribution that declares it, or uninstall that')
    return FamilyRecord(text, LOADED, family=family)


def _import(record: FamilyRecord) -> FamilyRecord:
    if record.family is None:
        return record
    missing = [name for name in record.family.requires if not is_usable(name)]
    if missing:
        return FamilyRecord(record.entry_point, PACKAGE_MISSING, ', '.join(missing), record.family)
    try:
        for module in record.family.modules:
            importlib.import_module(module)
    except Exception as error:  # of a third party's module
        return _broken(record.entry_point, error, record.family)
    return record


def _broken(text: str, error: Exception, family: Family | None = None) -> FamilyRecord:
    detail = f'{type(error).__name__}: {error}'
    _logger().warning(
        'The model family of the entry point %r (group %s) cannot be imported and is left out: %s. '
        'Repair or uninstall the distribution that declares it; `python -m razor_ext.check_env` '
        'lists the families.', text, GROUP, detail, exc_info=error)
    return FamilyRecord(text, BROKEN, detail, family)


def _logger() -> logging.Logger:
    return logging.getLogger('razor_ext')


def families() -> tuple[Family, ...]:
    """Return the families that are loaded."""
    return tuple(record.family for record in load_families()
                 if record.state == LOADED and record.family is not None)


def import_deploy_modules() -> None:
    """Import what the families register with MMDeploy."""
    for family in families():
        for module in family.deploy_modules:
            importlib.import_module(module)


def find_demo_input(model: nn.Module) -> Sequence[int] | Mapping[str, Any] | None:
    """Return the demo input that a family gives for a model, by the model's nearest known type.

    Args:
        model: The dense model.

    Returns:
        A shape with a batch of 1, the config of one of MMRazor's demo inputs, or None where no
        family knows the model.
    """
    return _by_type(model, lambda family: family.demo_inputs)


def find_deployment(model: nn.Module) -> Deployment | None:
    """Return how a model is exported, None where no family knows it.

    Args:
        model: The dense model.
    """
    return _by_type(model, lambda family: family.deployments)


def find_pruned_as(model: nn.Module) -> Mapping[str, Any]:
    """Return the settings of a model's config under which a run compresses it.

    Args:
        model: The dense model.
    """
    return _by_type(model, lambda family: family.pruned_as) or {}


def find_distillation(model: nn.Module) -> Distillation | None:
    """Return what is distilled of a model, None where no family knows it.

    Args:
        model: The dense model.
    """
    return _by_type(model, lambda family: family.distillations)


def _by_type(model: nn.Module, table: Callable[[Family], Mapping[str, Any]]) -> Any:
    for cls in type(model).__mro__:
        for family in families():
            value = table(family).get(f'{cls.__module__}.{cls.__qualname__}')
            value = value(model) if callable(value) else value
            if value is not None:
                return value
    return None


def set_demo_input(cfg: Config) -> None:
    """Give an algorithm the demo input that its config tells, unless one is set.

    A model is built without the config around it, and the data's part of that may be the only one
    that knows the size of an image.

    Args:
        cfg: Config of a run; `model.demo_input` is written.
    """
    model = cfg.get('model')
    architecture = (model or {}).get('architecture')
    if not isinstance(architecture, Mapping) or {'demo_input', 'mutator', 'fix_subnet'} & {*model}:
        return
    algorithm = MODELS.get(model['type'])
    if not isinstance(algorithm, type) or not any(
            'demo_input' in inspect.signature(vars(cls)['__init__']).parameters
            for cls in algorithm.__mro__ if '__init__' in vars(cls)):
        return
    shape = find_config_input(cfg, architecture)
    if shape is not None:
        model['demo_input'] = shape


def find_config_input(cfg: Mapping[str, Any], architecture: Mapping[str, Any],
                      ) -> Sequence[int] | Mapping[str, Any] | None:
    """Return the demo input that a config of a run tells, None where no family knows it.

    Args:
        cfg: Config of a run.
        architecture: That of its dense model.
    """
    for family in families():
        shape = None if family.config_input is None else family.config_input(cfg, architecture)
        if shape is not None:
            return shape
    return None


def find_sample(task: str, generator: np.random.Generator) -> np.ndarray | None:
    """Return a random input of a deployment task, None where no family knows the task.

    Args:
        task: MMDeploy's name of the task, as `codebase_config.task` has it.
        generator: Source of the values.
    """
    for family in families():
        if task in family.samples:
            return family.samples[task](generator)
    return None


def sample_tasks() -> tuple[str, ...]:
    """Return MMDeploy's names of the tasks that `find_sample` knows, sorted."""
    return tuple(sorted({task for family in families() for task in family.samples}))
