"""Which test calls which function: every test once, with the names of what it calls."""
from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from .mutation import ROOT

PACKAGE = str(ROOT / 'razor_ext') + '/'


class Recorder:
    """A pytest plugin that writes down, for each test that passes, its time and its calls.

    What the fixtures of a module call counts for all tests of it.
    """

    def __init__(self) -> None:
        self._seen: set[Any] = set()
        self._tests: dict[str, dict] = {}
        self._fixtures: dict[str, set[str]] = {}
        self._failed: set[str] = set()

    def _trace(self, frame: FrameType, event: str, argument: Any) -> None:
        self._seen.add(frame.f_code)

    def _names(self) -> set[str]:
        return {f'{code.co_filename[len(str(ROOT)) + 1:]}::{code.co_qualname.partition(".<")[0]}'
                for code in self._seen if code.co_filename.startswith(PACKAGE)}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        began = time.process_time()
        yield from self._phase()
        calls = self._names()
        self._fixtures.setdefault(item.location[0], set()).update(calls)
        self._tests[item.nodeid] = dict(file=item.location[0], seconds=-began, calls=calls)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        yield from self._phase()
        test = self._tests[item.nodeid]
        test['calls'] |= self._names()
        test['seconds'] += time.process_time()

    def _phase(self) -> Iterator[None]:
        self._seen = set()
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Leave out tests that fail."""
        if report.outcome != 'passed':
            self._failed.add(report.nodeid)

    def write(self, path: Path) -> None:
        """Write the table: test, seconds, functions."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({
            name: dict(seconds=test['seconds'],
                       calls=sorted(test['calls'] | self._fixtures[test['file']]))
            for name, test in self._tests.items() if name not in self._failed}))
