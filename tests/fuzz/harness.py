"""Runs a target of `targets`: many cases, each failure once."""
from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import traceback
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from .targets import Target


def fuzz(target: Target, cases: int, number: int) -> tuple[int, list[str]]:
    """Try cases of a target.

    Args:
        target: what is fuzzed.
        cases: how many.
        number: seed of what is drawn.

    Returns:
        Cases that were tried, and a line for each kind of failure: error, place, content.
    """
    failures: dict[str, str] = {}
    tried = [0]
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logging.disable()

        @seed(number)
        @settings(max_examples=cases, deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        @given(target.cases)
        def attempt(case: Any) -> None:
            tried[0] += 1
            os.chdir(folder)
            silent = io.StringIO()
            try:
                with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                    target.check(case, Path(folder))
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                kind = f'{type(error).__name__} at {Path(last.filename).name}:{last.lineno}'
                failures.setdefault(kind, f'{kind}: {str(error)[:200]} | {case!r:.300}')

        try:
            attempt()
        finally:
            os.chdir(before)
            logging.disable(logging.NOTSET)
    return tried[0], list(failures.values())
