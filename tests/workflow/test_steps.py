"""Steps are done once, in order, and again from where they ended."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from razor_ext.engine.console import VERBOSE
from razor_ext.workflow.progress import Estimate, position, seconds_left
from razor_ext.workflow.request import RequestError
from razor_ext.workflow.steps import Record, Step, StepError, run_steps

LINE = ('11/24 22:36:59 - mmengine - INFO - Epoch(train)  [3][ 50/150]  base_lr: 1e-3 lr: 1e-3  '
        'eta: 1 day, 0:01:02  time: 0.1')


def step(name: str, code: str) -> Step:
    return Step(name, f'do {name}', (sys.executable, '-c', code), 'test')


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    counts = tmp_path / 'counts'
    first = step('first', f"open({str(counts)!r}, 'a').write('x')")
    fails = step('second', "import sys; print('the cause'); sys.exit(3)")
    lines: list[str] = []
    with pytest.raises(StepError, match=r'(?s)the cause.*status 3.*second\.log') as error:
        run_steps([first, fails], Record(tmp_path, {'a': 1}), tmp_path / 'logs', lines.append)
    assert 'same command again' in str(error.value)
    run_steps([first, step('second', 'pass')], Record(tmp_path, {'a': 1}), tmp_path / 'logs',
              lines.append)
    assert counts.read_text() == 'x'
    assert any('do first: done before' in line for line in lines)


def test_another_request_and_a_damaged_record_are_refused(tmp_path: Path) -> None:
    run_steps([step('first', 'pass')], Record(tmp_path, {'a': 1}), tmp_path / 'logs', str)
    with pytest.raises(RequestError, match='a: 1 before, 2 now'):
        Record(tmp_path, {'a': 2})
    Record(tmp_path, {'a': 1, 'distill': False})  # an option that came since
    with pytest.raises(RequestError, match='distill: None before, True now'):
        Record(tmp_path, {'a': 1, 'distill': True})
    (tmp_path / 'compress.json').write_text('{"request"')
    with pytest.raises(RequestError, match='damaged'):
        Record(tmp_path, {'a': 1})


def test_progress_is_read_from_the_log_of_a_training() -> None:
    assert seconds_left(LINE) == 86400 + 62
    assert position(LINE) == '[3][ 50/150]'
    assert seconds_left(LINE.replace('train', 'val')) is None
    assert position('loading') == ''


def test_the_rest_is_estimated_from_steps_of_the_same_kind() -> None:
    estimate = Estimate({'test_dense': ('test', 1), 'prune': ('train', 10),
                         'finetune': ('train', 5), 'test': ('test', 1)}, {'test_dense': 7.})
    assert estimate.rest('prune', 60., 40.) == 40 + 50 + 7
    assert estimate.rest('prune', 60., None) is None


def test_the_log_of_a_step_is_whole(tmp_path: Path) -> None:
    """What a tool keeps out of a console is in the log."""
    told: list[str] = []
    command = [sys.executable, '-c', f'import os; print(os.environ[{VERBOSE!r}])']
    run_steps([Step('one', 'a step', command, 'test')], Record(tmp_path, {}), tmp_path / 'logs',
              told.append)
    assert (tmp_path / 'logs' / 'one.log').read_text() == '1\n'
