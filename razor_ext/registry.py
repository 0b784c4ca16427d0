"""MMEngine registries of this package: scope ``razor_ext``, children of MMEngine's.

A config with ``default_scope = 'razor_ext'`` finds what is registered here by its bare name, and
what MMEngine registers; any other config by ``razor_ext.NAME``. Compression algorithms are in
MMRazor's registries instead, where MMRazor and MMDeploy look for them.

    from razor_ext.registry import MODELS

    @MODELS.register_module()
    class MyBackbone(BaseModule):
        ...

MMEngine warns where a scope lacks a registry, hence one for each of its own. They need no
``locations``: importing this module imports ``razor_ext``, which imports every model family.
"""
from __future__ import annotations

from mmengine.registry import Registry, root

SCOPE = 'razor_ext'


def _child(parent: Registry) -> Registry:
    return Registry(parent.name, parent=parent, scope=SCOPE)


RUNNERS = _child(root.RUNNERS)
RUNNER_CONSTRUCTORS = _child(root.RUNNER_CONSTRUCTORS)
LOOPS = _child(root.LOOPS)
HOOKS = _child(root.HOOKS)
STRATEGIES = _child(root.STRATEGIES)

DATASETS = _child(root.DATASETS)
DATA_SAMPLERS = _child(root.DATA_SAMPLERS)
TRANSFORMS = _child(root.TRANSFORMS)

MODELS = _child(root.MODELS)
MODEL_WRAPPERS = _child(root.MODEL_WRAPPERS)
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS)

OPTIMIZERS = _child(root.OPTIMIZERS)
OPTIM_WRAPPERS = _child(root.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child(root.PARAM_SCHEDULERS)

METRICS = _child(root.METRICS)
EVALUATOR = _child(root.EVALUATOR)
TASK_UTILS = _child(root.TASK_UTILS)
VISUALIZERS = _child(root.VISUALIZERS)
VISBACKENDS = _child(root.VISBACKENDS)
LOG_PROCESSORS = _child(root.LOG_PROCESSORS)
INFERENCERS = _child(root.INFERENCERS)
FUNCTIONS = _child(root.FUNCTIONS)

REGISTRIES: tuple[Registry, ...] = tuple(
    value for value in tuple(globals().values())
    if isinstance(value, Registry) and value.scope == SCOPE)


def keep_root_names(package: str) -> None:
    """Register what a package has registered here under MMEngine's own registries as well.

    Up to version 0.1 it was registered there alone: configs written then have
    ``default_scope = 'mmengine'`` and bare names, or use the names inside another scope, whose
    registries end in MMEngine's. New packages do not need it.

    Args:
        package: Dotted name; what its modules and those below it define is registered.

    Raises:
        KeyError: If MMEngine has another object of the same name.
    """
    for registry in REGISTRIES:
        for name, item in registry.module_dict.items():
            inside = item.__module__ == package or item.__module__.startswith(f'{package}.')
            if inside and registry.parent.module_dict.get(name) is not item:
                registry.parent.register_module(name, module=item)
