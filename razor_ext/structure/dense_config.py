"""From the config of a compression run to that of the dense model, which a folder keeps."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from .folder import ANALYSIS_KEY, load_compressed

_INNER = ('architecture', 'algorithm')


def dense_config(cfg: Config) -> Config:
    """Turn the config of a run into one whose `model` is the dense architecture.

    Args:
        cfg: its `model` is an algorithm, a CompressedModel, or a distiller around one. What this
            function has returned is returned as it is.

    Returns:
        A copy that loads by itself. It imports razor_ext, loads no weights of the dense model, and
        its key `compression` says how that is analysed: `demo_input` and `keep`.

    Raises:
        ValueError: `model` is no config, or that of no compression run.
        SubnetError: the folder that a CompressedModel names cannot be read.
    """
    model, analysis, depth = cfg.get('model'), dict(cfg.get(ANALYSIS_KEY, {})), 0
    while isinstance(model, Mapping):
        analysis.update(_analysis(model))
        inner = next((model[key] for key in _INNER if isinstance(model.get(key), Mapping)), None)
        if model.get('compressed') is not None:
            folder = load_compressed(model['compressed'])
            analysis.update(demo_input=folder.demo_input, keep=folder.keep)
            inner = inner or folder.architecture()
        if inner is None:
            break
        model, depth = inner, depth + 1
    if depth == 0 and ANALYSIS_KEY in cfg:
        return cfg
    if depth == 0 or not isinstance(model, Mapping):
        raise ValueError(f'{cfg.filename}: `model` holds no `architecture` config and names no '
                         '`compressed` folder; give the config of a pruning or finetune run')
    dense = Config({**cfg.to_dict(), 'model': _without_weights(model)})
    dense.load_from, dense.resume = None, False
    dense[ANALYSIS_KEY] = dict(demo_input=_plain(analysis.get('demo_input')),
                               keep=list(analysis.get('keep') or ()))
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
