"""A deploy config, of whatever origin, is looked at before anything is built from it."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from mmdeploy.utils.constants import Backend, Task
from mmengine.config import Config

from .errors import DeployError

_OPSETS = range(9, 27)


def check_deploy_config(cfg: Config) -> None:
    """Refuse a deploy config with a value that cannot be.

    The deploy modules of the families must have been imported: they bring tasks.

    Args:
        cfg: MMDeploy's deploy config.

    Raises:
        DeployError: names the file, the key and the value.
    """
    sections = {name: cfg.get(name) for name in ('codebase_config', 'backend_config')}
    name = 'ir_config' if cfg.get('ir_config') else 'onnx_config'
    sections[name] = cfg.get(name)
    for key, section in sections.items():
        _require(cfg, isinstance(section, Mapping), key, section, 'a dict')
    codebase, backend, exported = sections.values()
    _require(cfg, _is_name(codebase.get('type')), 'codebase_config.type', codebase.get('type'),
             'the name of a codebase, such as mmpose')
    _check_known(cfg, 'codebase_config.task', codebase.get('task'), Task)
    _check_known(cfg, 'backend_config.type', backend.get('type'), Backend)
    _check_exported(cfg, name, exported)
    inputs = backend.get('model_inputs', ())
    _require(cfg, isinstance(inputs, (list, tuple)), 'backend_config.model_inputs', inputs,
             'a list of dicts')
    for number, entry in enumerate(inputs):
        _check_shapes(cfg, f'backend_config.model_inputs[{number}]', entry)


def _check_exported(cfg: Config, name: str, section: Mapping[str, Any]) -> None:
    for key, (good, wanted) in {
        'type': (_is_name, 'a name, such as onnx'),
        'save_file': (_is_file_name, 'the name of a file, without a folder'),
        'input_names': (_are_names, 'a list of different names'),
        'output_names': (_are_names, 'a list of different names'),
        'opset_version': (lambda value: type(value) is int and value in _OPSETS,
                          f'an integer from {_OPSETS[0]} to {_OPSETS[-1]}'),
        'input_shape': (lambda value: value is None or (_are_sizes(value) and len(value) <= 2),
                        'None or [width, height]'),
        'dynamic_axes': (_are_axes, 'a dict of {name: {dimension: name}} or {name: [dimension]}'),
    }.items():
        if key in section or key in ('type', 'save_file'):
            _require(cfg, good(section.get(key)), f'{name}.{key}', section.get(key), wanted)


def _check_shapes(cfg: Config, key: str, entry: Any) -> None:
    _require(cfg, isinstance(entry, Mapping), key, entry, 'a dict')
    for table, nested in (('opt_shapes', False), ('input_shapes', True)):
        shapes = entry.get(table, {})
        _require(cfg, isinstance(shapes, Mapping), f'{key}.{table}', shapes, 'a dict')
        for name, value in shapes.items():
            found = value if nested else {'': value}
            _require(cfg, isinstance(found, Mapping) and all(map(_are_sizes, found.values())),
                     f'{key}.{table}.{name}', value, 'sizes, lists of positive integers')


def _check_known(cfg: Config, key: str, value: Any, known: Any) -> None:
    names = sorted(member.value for member in known)
    _require(cfg, isinstance(value, str) and value in names, key, value,
             f'one of {", ".join(names)}')


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) < 200 and value.isprintable()


def _is_file_name(value: Any) -> bool:
    return _is_name(value) and value not in ('.', '..') and PurePath(value).name == value \
        and '\\' not in value


def _are_names(value: Any) -> bool:
    return (isinstance(value, (list, tuple)) and len(value) > 0 and all(map(_is_name, value))
            and len(set(value)) == len(value))


def _are_sizes(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0 and all(
        type(size) is int and 0 < size < 2 ** 31 for size in value)


def _are_axes(value: Any) -> bool:
    def is_axis(axis: Any) -> bool:
        return type(axis) is int and -8 <= axis < 8

    if value is None:
        return True
    return isinstance(value, Mapping) and all(
        _is_name(name) and (
            all(is_axis(axis) and _is_name(label) for axis, label in axes.items())
            if isinstance(axes, Mapping) else
            isinstance(axes, (list, tuple)) and all(map(is_axis, axes)))
        for name, axes in value.items())


def _require(cfg: Config, condition: bool, key: str, value: Any, wanted: str) -> None:
    if not condition:
        raise DeployError(f'{cfg.filename}: {key:.100} is {value!r:.100}, but must be {wanted}')
