"""The short configs that a request stands for."""
from __future__ import annotations

import os
import pprint
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from razor_ext.engine import atomic_write, check_config

from .datasets import dataset_overrides
from .request import FINETUNE, POST_TRAINING, SHARED, SHIPPED, Length, Request, RequestError
from .schedule import scaled_schedule

#: Folder of the configs in the work directory.
CONFIGS = 'configs'


@dataclass(frozen=True)
class ConfigFiles:
    """Configs of a request.

    Attributes:
        dense: the dense model on the user's data.
        prune, finetune: what `tools/dist_train.sh` takes.
        deploy: what `tools/deploy.py` takes.
    """

    dense: Path
    prune: Path
    finetune: Path
    deploy: Path


def write_dense(request: Request, cfg: Config, work_dir: Path) -> Path:
    """Write the dense config with the user's data and options in it.

    Args:
        request: what is asked for.
        cfg: the stock config that it names, loaded.
        work_dir: its `configs` takes the file.

    Returns:
        The file.

    Raises:
        RequestError: the data do not fit the config.
        UnreadKeyError: nothing reads an option.
    """
    folder = work_dir / CONFIGS
    base = request.config if '::' in request.config else _relative(Path(request.config), folder)
    check_config(cfg, set(cfg), request.options)
    changed = cfg.copy()
    changed.merge_from_dict(dict(request.options))
    touched = {option.partition('.')[0] for option in request.options}
    values: dict[str, Any] = {key: _changes(cfg.get(key), changed[key])
                              for key in sorted(touched)}
    values = merge(values, dataset_overrides(changed, request.data))
    if request.validate:
        values = merge(values, _validation(merge(changed.to_dict(), values)))
    path = folder / 'dense.py'
    _write(path, f'The dense model of {request.config}.', [base], {**_imports(cfg), **values})
    return path


def write_configs(request: Request, dense: Path, deployment: Mapping[str, Any], work_dir: Path,
                  pruned_as: Mapping[str, Any] | None = None) -> ConfigFiles:
    """Write the configs of a request.

    Args:
        request: what is asked for.
        dense: file of `write_dense`.
        deployment: of `deploy_config`.
        work_dir: its `configs` takes the files.
        pruned_as: settings of the dense model while it is compressed, see `Family`.

    Raises:
        RequestError: a length is asked for in another unit than the dense training's.
    """
    folder, cfg = work_dir / CONFIGS, Config.fromfile(dense)
    files = ConfigFiles(dense, *(folder / f'{name}.py' for name in ('prune', 'finetune',
                                                                    'deploy')))
    imports = _imports(cfg)
    architecture = _architecture(pruned_as or {})
    finetuned = {'compressed': str(work_dir / 'prune'),
                 **({'distill': request.checkpoint} if request.distill else {})}
    rate = {} if request.lr_ratio is None else {'lr_ratio': request.lr_ratio}
    base = request.method if request.trains else POST_TRAINING
    _write(files.prune, f'{request.method} on {request.config}.', [
        'dense.py', _relative(SHARED / f'{base}.py', folder)], {
            **imports, 'model': _splice(base, {'architecture': architecture}, _model(request)),
            **({} if not request.trains else {
                'optim_wrapper': _splice(f'{base}_optim', {}, rate),
                'default_hooks': _splice(f'{base}_hooks', {}, {})}),
            **_schedule(cfg, request.length)})
    _write(files.finetune, f'Finetunes what {request.method} has left of {request.config}.', [
        'dense.py', _relative(SHARED / f'{FINETUNE}.py', folder)], {
            **imports, 'model': _splice(FINETUNE, {}, finetuned),
            'optim_wrapper': _splice(f'{FINETUNE}_optim', {}, rate),
            'default_hooks': _splice(f'{FINETUNE}_hooks', {}, {}),
            **_schedule(cfg, request.finetune_length)})
    _write(files.deploy, f'Deploys {request.config} for {request.backend}.',
           [_relative(SHIPPED / 'configs' / 'deploy' / '_base_' / 'onnxruntime.py', folder)],
           deployment)
    return files


def _model(request: Request) -> dict[str, Any]:
    """Return what a request says of the algorithm."""
    model: dict[str, Any] = {'checkpoint': request.checkpoint, 'divisor': request.divisor,
                             'target': dict(kind=request.target[0], ratio=request.target[1])}
    bits = None if request.bits is None else dict(weight_bits=request.bits,
                                                  activation_bits=request.bits)
    if request.method == 'geta':
        model['quant'] = bits
    if request.distill and request.trains:
        model['distill'] = True
    if request.activation is not None:
        model['activation'] = dict(to=request.activation)
    if not request.trains:
        model['quant'] = None if bits is None else dict(
            bits, weight_granularity='channel', weight_power=False)
        model['mean_bits'] = request.mean_bits
        if request.method != POST_TRAINING:
            model['scores'] = [request.method]
    return model


def _validation(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a test on the validation set.

    Raises:
        RequestError: the config has none.
    """
    if not cfg.get('val_dataloader') or not cfg.get('val_evaluator'):
        raise RequestError('the config has no val_dataloader and val_evaluator, on which '
                           '--max-drop judges')
    return {f'test_{part}': value if not isinstance(value, Mapping) else {'_delete_': True, **value}
            for part in ('dataloader', 'evaluator')
            for value in [_settled(cfg[f'val_{part}'])]}


def _settled(value: Any) -> Any:
    """Return settings without what they say of those that they have taken the place of."""
    if isinstance(value, Mapping):
        return {key: _settled(item) for key, item in value.items() if key != '_delete_'}
    return value


def merge(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings with those of `second` put over those of `first`."""
    merged = dict(first)
    for key, value in second.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = value if '_delete_' in value else merge(before, value)
        merged[key] = value
    return merged


def _changes(before: Any, after: Any) -> Any:
    """Return what inheriting from `before` must set to come to `after`."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    return {key: _changes(before.get(key), value) for key, value in after.items()
            if key not in before or before[key] != value}


def _schedule(cfg: Config, length: Length | None) -> dict[str, Any]:
    return {} if length is None or not length.count else scaled_schedule(cfg, length)


def _architecture(settings: Mapping[str, Any]) -> str:
    more = ''.join(f', {key}={value!r}' for key, value in settings.items())
    return f'dict(_base_.model{more})' if more else '_base_.model'


class _Code(str):
    """Text that goes into a config as code."""

    def __repr__(self) -> str:
        return str(self)


def _splice(shared: str, names: Mapping[str, str], values: Mapping[str, Any]) -> _Code:
    """Return the shared settings of a name with values; a model takes the dense one's place."""
    parts = [f'_base_.{shared}']
    if not shared.endswith(('_optim', '_hooks')):
        parts.append('_delete_=True')
    parts += [f'{key}={value}' for key, value in names.items()]
    parts += [f'{key}={value!r}' for key, value in values.items()]
    return _Code(f'dict({", ".join(parts)})' if len(parts) > 1 else parts[0])


def _imports(cfg: Config) -> dict[str, Any]:
    before = (cfg.get('custom_imports') or {}).get('imports', [])
    before = [before] if isinstance(before, str) else list(before)
    return {'custom_imports': dict(imports=['razor_ext', *(
        name for name in before if name != 'razor_ext')], allow_failed_imports=False)}


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path, folder)


def _plain(value: Any) -> Any:
    """Return plain containers of what MMEngine has made of them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(item) for item in value) if type(value) in (list, tuple) \
            else [_plain(item) for item in value]
    return value


def _write(path: Path, title: str, bases: list[str], values: Mapping[str, Any]) -> None:
    lines = [f'"""{title}"""']
    if bases:
        lines.append(f'_base_ = {bases!r}')
    lines += [f'{key} = {pprint.pformat(_plain(value), width=100, sort_dicts=False)}'
              for key, value in values.items()]
    with atomic_write(path) as temporary:
        temporary.write_text('\n'.join(lines) + '\n', encoding='utf-8')
