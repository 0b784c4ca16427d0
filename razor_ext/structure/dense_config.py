"""From the config of a compression run to that of the dense model, which a folder keeps."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmrazor.registry import HOOKS

from .folder import ANALYSIS_KEY, load_compressed
from .preprocessing import split_preprocessor

_INNER = ('architecture', 'algorithm')


def dense_config(cfg: Config) -> Config:
    """Turn the config of a run into one whose `model` is the dense architecture.

    Args:
        cfg: its `model` is an algorithm, a CompressedModel, or a distiller around one. What this
            function has returned is returned as it is.

    Returns:
        A copy that loads by itself. It imports razor_ext, loads no weights of the dense model, has
        no hooks of compression (their class says `of_compression = True`), and its key
        `compression` says how the dense model is analysed: `demo_input` and `keep`.

    Raises:
        ValueError: `model` is no config, or that of no compression run.
        StructureError: the folder that a CompressedModel names cannot be read.
    """
    model, analysis, depth = cfg.get('model'), dict(cfg.get(ANALYSIS_KEY, {})), 0
    around = None
    while isinstance(model, Mapping):
        analysis.update(_analysis(model))
        inner = next((model[key] for key in _INNER if isinstance(model.get(key), Mapping)), None)
        if model.get('compressed') is not None:
            folder = load_compressed(model['compressed'])
            analysis.update(demo_input=folder.demo_input, keep=folder.keep)
            inner = inner or folder.architecture()
        if inner is None:
            break
        around = around or model.get('data_preprocessor')
        model, depth = inner, depth + 1
    if depth == 0 and ANALYSIS_KEY in cfg:
        return cfg
    if depth == 0 or not isinstance(model, Mapping):
        raise ValueError(f'{cfg.filename}: `model` holds no `architecture` config and names no '
                         '`compressed` folder; give the config of a pruning or finetune run')
    model, around = split_preprocessor(model, around or cfg.get('data_preprocessor'))
    if around is not None:
        model = {**model, 'data_preprocessor': around}
    dense = Config({**cfg.to_dict(), 'model': _without_weights(model)})
    dense.load_from, dense.resume = None, False
    dense[ANALYSIS_KEY] = dict(demo_input=_plain(analysis.get('demo_input')),
                               keep=list(analysis.get('keep') or ()))
    _drop_hooks(dense)
    imports = dense.get('custom_imports') or {}
    names = imports.get('imports', [])
    names = [names] if isinstance(names, str) else names
    dense.custom_imports = dict(
        imports=['razor_ext', *(name for name in names if name != 'razor_ext')],
        allow_failed_imports=imports.get('allow_failed_imports', False))
    return dense


def _analysis(model: Mapping) -> dict[str, Any]:
    """Return what an algorithm's config says of the analysis, its mutator's included."""
    found: dict[str, Any] = {}
    mutator = model.get('mutator')
    places = [model]
    if isinstance(mutator, Mapping):
        places += [place for place in (mutator.get('parse_cfg'), mutator)
                   if isinstance(place, Mapping)]
    for place in places:
        found.update({key: place[key] for key in ('demo_input', 'keep')
                      if place.get(key) is not None})
    return found


def _drop_hooks(config: Config) -> None:
    """Take the hooks of compression out of a config: they refuse a model that is finished."""
    if config.get('custom_hooks'):
        config.custom_hooks = [hook for hook in config.custom_hooks if not _of_compression(hook)]
    for name, hook in (config.get('default_hooks') or {}).items():
        if _of_compression(hook):
            config.default_hooks[name] = None


def _of_compression(hook: Any) -> bool:
    kind = hook.get('type') if isinstance(hook, Mapping) else type(hook)
    kind = HOOKS.get(kind) if isinstance(kind, str) else kind
    return getattr(kind, 'of_compression', False)


def _plain(value: Any) -> Any:
    """Return builtin containers, tuples as lists, as JSON gives them back."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _without_weights(config: Any) -> Any:
    """Return a config without the checkpoints that it would load."""
    if isinstance(config, Mapping):
        if 'cfg_path' in config and 'type' not in config:  # a model of MMEngine's hub
            return {**config, 'pretrained': False}
        return {key: _without_weights(value) for key, value in config.items()
                if key != 'init_cfg' or not _is_pretrained(value)}
    if isinstance(config, (list, tuple)):
        return type(config)(_without_weights(item) for item in config)
    return config


def _is_pretrained(init_cfg: Any) -> bool:
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    return any(isinstance(entry, Mapping)
               and str(entry.get('type')).rpartition('.')[2] == 'Pretrained' for entry in entries)
