"""The model config of a command-line tool: a file or `package::path`, with checked options."""
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config_check import UnreadKeyError, check_config
from .errors import RunError
from .families import set_demo_input


class ConfigFileError(RunError):
    """A config file that cannot be read, or an option that does not fit it."""


def read_config(path: str) -> Config:
    """Read a config.

    Args:
        path: a file, or `package::path`.

    Raises:
        FileNotFoundError: there is none.
        ConfigFileError: it cannot be read; names the file and the cause.
    """
    found = find_config(path)
    try:
        cfg = Config.fromfile(found)
    except Exception as error:  # a config is code, which fails in any way
        raise ConfigFileError(f'config {path!r} cannot be read: {type(error).__name__}: '
                              f'{str(error)[:500]}') from error
    if not isinstance(cfg.get('model', {}), Mapping):
        raise ConfigFileError(f'config {path!r}: model is {cfg.model!r:.100}, but must be a dict')
    return cfg


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge the `--cfg-options` of a command line.

    Args:
        cfg: the config.
        options: values by dotted key.

    Raises:
        ConfigFileError: a key does not fit the config.
    """
    try:
        cfg.merge_from_dict(dict(options))
    except (TypeError, KeyError, IndexError, ValueError, AttributeError, AssertionError) as error:
        raise ConfigFileError(f'--cfg-options {", ".join(options)[:200]} do not fit the config: '
                              f'{type(error).__name__}: {str(error)[:300]}') from error


def find_config(path: str) -> Path:
    """Return the file of a config.

    Args:
        path: a file, or `package::path` below the configs of an installed OpenMMLab package.

    Raises:
        FileNotFoundError: there is no such file, package, or config of the package.
    """
    if '::' not in path:
        found = Path(path)
    else:
        package = path.partition('::')[0]
        try:
            found = Path(Config._get_cfg_path(path, '')[0])
        except (ValueError, ImportError, FileNotFoundError) as error:
            raise FileNotFoundError(
                f'config {path!r} does not exist: {package!r} is no installed OpenMMLab package, '
                'or has no such file below its configs') from error
    if not os.path.isfile(found):  # which is False of a name that no file can have
        raise FileNotFoundError(f'config {path!r:.300} does not exist')
    return found


def load_tool_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Load the config of a tool's command line; check `--cfg-options` and merge them.

    The keys of the config itself are for the Runner to judge: a tool takes a config that a run has
    dumped into its work directory too, with names in it that nothing reads any more.

    Args:
        path: a file, or `package::path`, e.g.
            `mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py`.
        options: what `OptionAction` made of `--cfg-options`.

    Returns:
        The config.

    Raises:
        SystemExit: with one line, if the config does not exist or cannot be read, or nothing reads
            the top-level key of an option.

    Examples:
        >>> cfg = load_tool_config('mmpose::body_2d_keypoint/rtmpose/coco/'
        ...                        'rtmpose-s_8xb256-420e_coco-256x192.py',
        ...                        {'model.backbone.widen_factor': 0.25})
        >>> cfg.model.backbone.widen_factor
        0.25
    """
    try:
        cfg = read_config(path)
        named = {option.partition('.')[0] for option in options or {}}
        check_config(cfg, set(cfg) - named, options)
        merge_options(cfg, options or {})
    except (FileNotFoundError, ConfigFileError, UnreadKeyError) as error:
        raise SystemExit(str(error)) from error
    set_demo_input(cfg)
    return cfg
