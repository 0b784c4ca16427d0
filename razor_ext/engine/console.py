"""What a tool says on the console: the run, and what its user can do something about.

MMEngine prints its whole config, a line for every parameter with an option of its own, and the
order of its hooks before the first step; dependencies warn of one another's old names. All of it
stays in the log file of the run. `RAZOR_EXT_VERBOSE=1` shows it.
"""
from __future__ import annotations

import functools
import logging
import os
import re
import site
import sys
import sysconfig
import warnings
from pathlib import Path
from typing import Any, TextIO

from mmengine.logging import MMLogger

#: Set to anything but '', it shows everything.
VERBOSE = 'RAZOR_EXT_VERBOSE'

#: Modules of dependencies whose messages tell of the run, some by the functions that do.
_TELLING: dict[str, tuple[str, ...]] = {
    'mmengine.hooks.logger_hook': (), 'mmengine.hooks.checkpoint_hook': (),
    'mmengine.runner.runner': ('load_checkpoint', 'resume', 'load_or_resume', 'train', 'test')}

#: Modules between what is said and the console.
_LOGGING = ('logging', 'mmengine.logging.logger', __name__)

#: Beginnings of warnings about a dependency's own code or build.
_NOISE = re.compile(
    'Failed to search registry with scope|"FileClient" will be deprecated'
    '|"HardDiskBackend" is the alias|DeprecationWarning: get_onnx_config'
    '|Can not optimize model, please build torchscipt|The prefix is not set in metric class'
    '|init_weights of .* has been called more than once'
    '|Failed to get codebase, got|Import mmdeploy.codebase.razor_ext.deploy failed'
    '|`save_param_scheduler` is True but')


def quiet() -> None:
    """Keep the console of this process to what concerns its user, from now on."""
    if os.environ.get(VERBOSE) or getattr(MMLogger.__init__, '_quiet', False):
        return
    upstream = MMLogger.__init__

    @functools.wraps(upstream)
    def __init__(self: MMLogger, *args: Any, **kwargs: Any) -> None:
        upstream(self, *args, **kwargs)
        _filter(self)

    __init__._quiet = True  # type: ignore[attr-defined]
    MMLogger.__init__ = __init__
    for logger in MMLogger._instance_dict.values():
        _filter(logger)
    warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)


def _filter(logger: MMLogger) -> None:
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(concerns_user)


def concerns_user(record: logging.LogRecord) -> bool:
    """Return whether a record of a logger belongs on the console."""
    if record.levelno >= logging.ERROR:
        return True
    if record.levelno >= logging.WARNING:
        return not _NOISE.match(record.getMessage())
    module, function, path = _source()
    functions = _TELLING.get(module)
    if functions is not None:
        return not functions or function in functions
    return not _is_of_dependency(path)


def _source() -> tuple[str, str, str]:
    """Return module, function and file of what has logged the message."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get('__name__') in _LOGGING:
        frame = frame.f_back
    return frame.f_globals.get('__name__', ''), frame.f_code.co_name, frame.f_code.co_filename


@functools.cache
def _is_of_dependency(path: str) -> bool:
    """Return whether a file is of an installed package other than this, or of Python."""
    file = Path(path).resolve()
    if file.is_relative_to(Path(__file__).resolve().parents[1]):
        return False
    places = [*site.getsitepackages(), *(sysconfig.get_paths()[key] for key in ('purelib',
                                                                               'stdlib'))]
    return any(file.is_relative_to(Path(place).resolve()) for place in places)


def _show_warning(show: Any, message: Warning | str, category: type[Warning], filename: str,
                  lineno: int, file: TextIO | None = None, line: str | None = None) -> None:
    """Show a warning, that of a dependency in the log file of the run alone."""
    if file is not None or not _is_of_dependency(filename):
        show(message, category, filename, lineno, file, line)
        return
    record = logging.LogRecord('warnings', logging.WARNING, filename, lineno, '%s', (
        warnings.formatwarning(message, category, filename, lineno, line), ), None)
    for handler in _current_handlers():
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def _current_handlers() -> list[logging.Handler]:
    # Asking for the current logger would make one.
    return MMLogger.get_current_instance().handlers if MMLogger._instance_dict else []
