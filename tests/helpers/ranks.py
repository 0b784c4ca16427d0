"""Processes of several ranks, waited for as long as they do something."""
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch.multiprocessing as multiprocessing

#: Of tests that wait on progress: pytest's clock would stop them on a loaded machine.
NO_CLOCK = pytest.mark.timeout(0)


def run_ranks(function: Callable, args: tuple = (), ranks: int = 2, stall: float = 180) -> None:
    """Run `function(rank, *args)` in a process for each rank; none of them outlives the call.

    Args:
        function: of a module that a new process can import.
        args: its further arguments.
        ranks: how many.
        stall: seconds without any work of any rank after which they hang.

    Raises:
        ProcessException: a rank failed; holds its traceback.
        AssertionError: they hang.
    """
    context = multiprocessing.spawn(function, args, nprocs=ranks, join=False, daemon=True)
    spent, since = -1.0, time.monotonic()
    try:
        while not context.join(timeout=1):
            now = sum(work_of(process.pid) for process in context.processes)
            if now > spent:
                spent, since = now, time.monotonic()
            assert time.monotonic() - since < stall, f'no rank has worked for {stall} seconds'
    finally:
        for process in context.processes:
            process.kill()
            process.join()


def work_of(process: int) -> float:
    """Return the processor time of a process, in ticks; 0 when it has ended."""
    try:
        fields = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    except FileNotFoundError:
        return 0.0
    return float(fields[11]) + float(fields[12])
