"""What reaches the console of a tool."""
from __future__ import annotations

import inspect
import logging
import sys
import warnings
from pathlib import Path

import pytest
from mmengine.logging import MMLogger, print_log

import razor_ext
from razor_ext.engine import console
from tests.algorithms.settings import FAMILIES
from tests.tools.commands import run

UPSTREAM = str(Path(logging.__file__).parents[1] / 'site-packages')
OWN = str(Path(razor_ext.__file__).parent / 'pruning' / 'some.py')


class Kept(logging.Handler):
    """Keeps what reaches the console."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    handler = Kept()
    handler.addFilter(console.concerns_user)
    logger = MMLogger.get_instance('console_test')
    monkeypatch.setattr(logger, 'handlers', [handler])
    return handler


def say(text: str, module: str, path: str, function: str = 'speak', level: int = logging.INFO
        ) -> None:
    """Log a message from a function of a module that lies elsewhere."""
    names = {'__name__': module, 'print_log': print_log, 'text': text, 'level': level}
    code = f'def {function}(): print_log(text, logger="current", level=level)\n{function}()'
    exec(compile(code, path, 'exec'), names)


@pytest.mark.parametrize(('module', 'path', 'function', 'shown'), [
    ('razor_ext.pruning.some', OWN, 'speak', True),
    ('a_users_own', '/home/user/own.py', 'speak', True),
    ('mmengine.optim.optimizer.default_constructor', f'{UPSTREAM}/mmengine/x.py', 'speak', False),
    ('mmengine.runner.runner', f'{UPSTREAM}/mmengine/runner.py', '_log_env', False),
    ('mmengine.runner.runner', f'{UPSTREAM}/mmengine/runner.py', 'resume', True),
    ('mmengine.hooks.logger_hook', f'{UPSTREAM}/mmengine/hook.py', 'after_train_iter', True)])
def test_notes_of_dependencies_stay_in_the_log(module: str, path: str, function: str, shown: bool,
                                               kept: Kept) -> None:
    say('a note', module, path, function)
    assert kept.lines == ['a note'] * shown
    say('broken', module, path, function, logging.ERROR)
    assert kept.lines[-1] == 'broken'


def test_warnings_that_a_user_can_act_on_are_shown(kept: Kept) -> None:
    path = f'{UPSTREAM}/mmengine/x.py'
    for text in ('Failed to search registry with scope "mmpose" in the "Codebases" registry tree.',
                 '"FileClient" will be deprecated in future.',
                 'Import mmdeploy.codebase.razor_ext.deploy failedPlease check',
                 'The model and loaded state dict do not match exactly'):
        say(text, 'mmengine.x', path, level=logging.WARNING)
    assert kept.lines == ['The model and loaded state dict do not match exactly']


def test_a_dependencys_warning_goes_to_the_log_file_alone(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, 'showwarning', lambda message, *_: shown.append(str(message)))
    # As before any tool has run in this process.
    monkeypatch.setattr(MMLogger, '__init__', inspect.unwrap(MMLogger.__init__))
    shown: list[str] = []
    with warnings.catch_warnings():
        console.quiet()
        show = warnings.showwarning
        logger = MMLogger.get_instance(f'console_{tmp_path.name}', log_file=str(tmp_path / 'log'))
        monkeypatch.setattr(MMLogger, 'get_current_instance', classmethod(lambda cls: logger))
        show('old name', FutureWarning, f'{UPSTREAM}/mmdet/x.py', 3)
        show('look', UserWarning, '/home/user/own.py', 3)
    assert shown == ['look']
    assert 'old name' in (tmp_path / 'log').read_text()


def test_the_first_step_is_on_the_first_page(tmp_path: Path) -> None:
    """985 lines stood before it."""
    FAMILIES['pose'].write(tmp_path)
    text = run(sys.executable, 'tools/train.py', tmp_path / 'dense.py', '--work-dir',
               tmp_path / 'run', '--cfg-options', 'train_cfg.max_iters=2',
               'default_hooks.logger.interval=1', 'optim_wrapper.paramwise_cfg.norm_decay_mult=0',
               'default_hooks.logger.type=LoggerHook', 'log_level=INFO')
    before = text[:text.index('(train)')].splitlines()
    assert len(before) <= 12, text
    assert 'arning' not in text, text
    log = next((tmp_path / 'run').glob('*/*.log')).read_text()
    for hidden in ('System environment', 'paramwise_options', 'Hooks will be executed'):
        assert hidden in log
        assert hidden not in text


def test_everything_is_shown_on_demand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(console.VERBOSE, '1')
    before = MMLogger.__init__, warnings.showwarning
    console.quiet()
    assert (MMLogger.__init__, warnings.showwarning) == before
