"""The steps of a pipeline: each a command, done once, in order, and again from where it ended."""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from razor_ext.engine import write_json
from razor_ext.engine.console import VERBOSE

from .progress import Estimate, clock, position, seconds_left
from .request import SHIPPED, RequestError

#: Lines of a failed step's log that are shown.
_TAIL = 25
#: Seconds between two lines of progress.
_EVERY = 10.
RECORD = 'compress.json'


@dataclass(frozen=True)
class Step:
    """A command of the pipeline.

    Attributes:
        name: of its log and record.
        title: what it does, for people.
        command: what is run.
        kind: steps of one kind take times like their sizes.
        size: e.g. epochs.
    """

    name: str
    title: str
    command: Sequence[str]
    kind: str
    size: float = 1.


class StepError(RuntimeError):
    """A step has failed; says where its log is."""


class Record:
    """What has been asked for and done, in a file of the work directory.

    Args:
        work_dir: where.
        request: plain values.

    Raises:
        RequestError: the work directory is that of another request.
    """

    def __init__(self, work_dir: Path, request: Mapping[str, Any]) -> None:
        self._path = work_dir / RECORD
        self.seconds: dict[str, float] = {}
        if not self._path.is_file():
            self._request = dict(request)
            return
        try:
            content = json.loads(self._path.read_text(encoding='utf-8'))
            before, self.seconds = content['request'], dict(content['seconds'])
        except (ValueError, KeyError, TypeError) as error:
            raise RequestError(f'{self._path} is damaged ({error}); delete it to do every step '
                               'again, or give another --work-dir') from error
        # What is False was not there before the option came.
        differing = [f'{key}: {before.get(key)!r} before, {value!r} now'
                     for key, value in request.items()
                     if before.get(key, value if value is False else None) != value]
        if differing:
            raise RequestError(f'{work_dir} holds another request ({"; ".join(differing)}): give '
                               'the same options to go on, or another --work-dir')
        self._request = dict(request)

    def done(self, name: str, seconds: float) -> None:
        """Note that a step has ended well."""
        self.seconds[name] = seconds
        self.write()

    def write(self) -> None:
        """Write the file."""
        write_json(self._path, {'request': self._request, 'seconds': self.seconds})


def run_steps(steps: Sequence[Step], record: Record, logs: Path,
              tell: Callable[[str], None] = print) -> None:
    """Run the steps that are not done yet.

    Args:
        steps: in order.
        record: what is done.
        logs: folder of a log for each.
        tell: takes each line of progress.

    Raises:
        StepError: one fails; what was done stays done.
    """
    logs.mkdir(parents=True, exist_ok=True)
    record.write()
    estimate = Estimate({step.name: (step.kind, step.size) for step in steps},
                        dict(record.seconds))
    for number, step in enumerate(steps, 1):
        head = f'[{number}/{len(steps)}] {step.title}'
        if step.name in record.seconds:
            tell(f'{head}: done before ({clock(record.seconds[step.name])})')
            continue
        tell(head)
        began = time.monotonic()
        _run(step, logs / f'{step.name}.log', estimate, began, tell)
        record.done(step.name, time.monotonic() - began)
        estimate.seconds[step.name] = record.seconds[step.name]
        tell(f'{head}: {clock(record.seconds[step.name])}')


def _run(step: Step, log: Path, estimate: Estimate, began: float,
         tell: Callable[[str], None]) -> None:
    told = began
    with log.open('a', encoding='utf-8') as file, subprocess.Popen(
            list(step.command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors='replace', env={**os.environ, VERBOSE: '1'}) as process:
        assert process.stdout is not None  # a pipe was asked for
        try:
            for line in process.stdout:
                file.write(line)
                file.flush()
                left, now = seconds_left(line), time.monotonic()
                if left is not None and now - told >= _EVERY:
                    told = now
                    rest = estimate.rest(step.name, now - began, left)
                    tell(f'    {position(line)} {clock(left)} left'
                         + (f', {clock(rest)} for all' if rest is not None else ''))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        lines = log.read_text(encoding='utf-8', errors='replace').splitlines()
        raise StepError('\n'.join(lines[-_TAIL:]) + f'\n\n"{step.title}" has failed with status '
                        f'{process.returncode}; its log is {log}. Repair the cause and give the '
                        'same command again: what was done stays done')


def python(tool: str, *arguments: str) -> list[str]:
    """Return the command that runs a tool of this package by the present interpreter.

    Args:
        tool: path below `tools`.
        arguments: of the tool.
    """
    return [sys.executable, str(SHIPPED / 'tools' / tool), *arguments]
