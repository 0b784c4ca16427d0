"""Config keys that nobody reads are errors.

A misspelt section (`optim_wraper`, `geta_optimizer_cfg`) is silently ignored by a Runner: the run
trains, and does something else than was asked. A top-level name of a config file counts as read if
the Runner or the calling tool takes it, or some file of the same inheritance chain uses it.

`--cfg-options` come after a config is loaded. An option on a name that only the config's own files
use (`max_epochs`, `geta.target.ratio`) would change what has been copied already, and an option
whose section is misspelt would make a new one: both are errors too.
"""
from __future__ import annotations

import ast
import difflib
import inspect
import re
import site
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from .config_options import UnreadKeyError, check_option

#: Read by mmengine's Config, by the tools, by MMDeploy's tasks, or by OpenMMLab conventions around
#: the Runner.
KNOWN_KEYS = frozenset({
    '_base_', 'activation_checkpointing', 'auto_scale_lr', 'backend_args', 'codec', 'compile',
    'custom_imports', 'default_scope', 'find_unused_parameters', 'model_wrapper_cfg',
    'preprocess_cfg', 'runner_type', 'sync_bn',
})

_TEMPLATE = re.compile(r'{{\s*_base_\.([\w.]+)\s*}}')


def runner_keys() -> set[str]:
    """Return the top-level keys that `Runner.from_cfg` takes."""
    return set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'}


def _installed(path: Path) -> bool:
    """Whether a config file belongs to an installed package rather than to the user."""
    roots = {*site.getsitepackages(), sysconfig.get_paths()['purelib']}
    return any(path.is_relative_to(Path(root).resolve()) for root in roots)


def _names(path: Path) -> tuple[set[str], set[str]]:
    """Return (names a config file assigns at its top level, names it reads anywhere)."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    assigned = {target.id for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))
                for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
                if isinstance(target, ast.Name)}
    read: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            read.add(node.id)
        elif isinstance(node, ast.Attribute):
            read.add(node.attr)
        elif isinstance(node, ast.Call):
            # getattr(_base_, 'name'), _base_.get('name')
            read.update(arg.value for arg in node.args
                        if isinstance(arg, ast.Constant) and isinstance(arg.value, str))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            read.update(match.split('.')[-1] for match in _TEMPLATE.findall(node.value))
    return assigned, read


def _chain(path: Path) -> list[Path]:
    """Return a config file and everything it inherits from."""
    files, queue = [], [path]
    while queue:
        current = queue.pop()
        if current in files or current.suffix != '.py':
            continue
        files.append(current)
        for base in Config._get_base_files(str(current)):
            queue.append(Path(Config._get_cfg_path(base, str(current))[0]).resolve())
    return files


def check_config(cfg: Config, extra: Iterable[str] = (),
                 options: Mapping[str, Any] | None = None) -> None:
    """Refuse a config with a top-level key that nothing reads.

    Args:
        cfg: the loaded config; `cfg.filename` names its file.
        extra: further keys that the calling tool reads.
        options: the command line's `--cfg-options`, not merged yet.

    Raises:
        UnreadKeyError: names the key, its file and the closest known key; or names the option and
            the path to set instead.
    """
    known = runner_keys() | KNOWN_KEYS | set(extra)
    files = _chain(Path(cfg.filename).resolve())
    assigned: dict[str, Path] = {}
    read: set[str] = set()
    for path in files:
        names, used = _names(path)
        read |= used
        for name in names:
            assigned.setdefault(name, path)
    for name, path in assigned.items():
        if name not in known and name not in read and not _installed(path):
            raise UnreadKeyError(f'{path}: nothing reads the key {name!r}{_hint(name, known)}')
    for option in options or {}:
        check_option(cfg, option, known, assigned)


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f'; did you mean {close[0]!r}?' if close else '; remove it'
