"""The model config of a command-line tool: a file or `package::path`, with checked options."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .config_check import UnreadKeyError, check_config
from .families import set_demo_input


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
    if not found.is_file():
        raise FileNotFoundError(f'config {path!r} does not exist')
    return found


def load_tool_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Load the config of a tool's command line; check `--cfg-options` and merge them.

    The keys of the config itself are for the Runner to judge: a tool takes a config that a run has
    dumped into its work directory too, with names in it that nothing reads any more.

    Args:
        path: a file, or `package::path`, e.g.
            `mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py`.
        options: what `DictAction` made of `--cfg-options`.

    Returns:
        The config.

    Raises:
        SystemExit: with one line, if the config does not exist or nothing reads the top-level key
            of an option.

    Examples:
        >>> cfg = load_tool_config('mmpose::body_2d_keypoint/rtmpose/coco/'
        ...                        'rtmpose-s_8xb256-420e_coco-256x192.py',
        ...                        {'model.backbone.widen_factor': 0.25})
        >>> cfg.model.backbone.widen_factor
        0.25
    """
    try:
        cfg = Config.fromfile(find_config(path))
        named = {option.partition('.')[0] for option in options or {}}
        check_config(cfg, set(cfg) - named, options)
    except (FileNotFoundError, UnreadKeyError) as error:
        raise SystemExit(str(error)) from error
    if options:
        cfg.merge_from_dict(dict(options))
    set_demo_input(cfg)
    return cfg
