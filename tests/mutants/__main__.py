"""Changes the code a little, again and again, and counts how often the tests notice.

    python -m tests.mutants --sample 120

Every mutant is a fork of this process in which one function has other code; the tests that call
the function run in it, the quick and special ones first. Which those are is found out once, and
kept in `--map` (delete it when tests have changed).
"""
from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from .coverage import Recorder
from .mutation import ROOT, Mutant, install, mutants_of

#: What is mutated, and the tests of it.
FOLDERS = ('graph', 'pruning', 'quantization', 'structure', 'deploy', 'algorithms/geta')
TESTS = tuple(f'tests/{name}' for name in (*FOLDERS, 'plain', 'algorithms/test_contract.py'))
#: Seconds of tests that a mutant is given at most.
BUDGET = 30.0
KILLED, SURVIVED, UNTESTED = 'killed', 'survived', 'not called by any test'


def sources(folders: tuple[str, ...] = FOLDERS) -> list[str]:
    """Return the modules to mutate, relative to the source tree."""
    return [path.relative_to(ROOT).as_posix() for name in folders
            for path in sorted((ROOT / 'razor_ext' / name).rglob('*.py'))]


def run_forked(body: Callable[[], int], seconds: float) -> int | None:
    """Return the status of a function in a process of its own; None when its time has run out."""
    process = os.fork()
    if process == 0:
        status = 99
        try:
            limit = int(seconds) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
            with open(os.devnull, 'w') as silent:
                os.dup2(silent.fileno(), 1)
                os.dup2(silent.fileno(), 2)
            status = body()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20 * seconds
    while True:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if time.monotonic() > deadline:  # it waits, and needs no processor time
            os.kill(process, signal.SIGKILL)
        time.sleep(0.02)


def _pytest(*arguments: str, plugins: tuple = ()) -> int:
    return int(pytest.main(['-n', '0', '-q', '-m', 'not slow and not upstream', '-p',
                            'no:cacheprovider', '--timeout', '0', *arguments],
                           plugins=list(plugins)))


def map_tests(path: Path, tests: tuple[str, ...]) -> dict[str, dict]:
    """Return what every test takes and calls; from a file if there is one."""
    if not path.is_file():
        def record() -> int:
            recorder = Recorder()
            status = _pytest(*tests, plugins=(recorder, ))
            recorder.write(path)
            return status

        print('finding out which test calls what ...', flush=True)
        run_forked(record, 7200)
    return json.loads(path.read_text())


def tests_of(mutant: Mutant, table: dict[str, dict]) -> tuple[list[str], float]:
    """Return the tests that call a function, quick and special ones first, and their seconds."""
    name = f'{mutant.path}::{mutant.function}'
    calling = sorted((test for test, row in table.items() if name in row['calls']),
                     key=lambda test: table[test]['seconds'] * len(table[test]['calls']))
    chosen: list[str] = []
    spent = 0.0
    for test in calling:
        if not chosen or spent + table[test]['seconds'] < BUDGET:
            chosen.append(test)
            spent += table[test]['seconds']
    return chosen, spent


def try_mutant(mutant: Mutant, table: dict[str, dict]) -> str:
    """Return what becomes of a mutant."""
    tests, spent = tests_of(mutant, table)
    if not tests:
        return UNTESTED

    def body() -> int:
        install(mutant)
        return _pytest('-x', *tests)

    status = run_forked(body, 5 * spent + 30)
    if status == 99:
        raise RuntimeError(f'{mutant} cannot be made')
    return SURVIVED if status == 0 else KILLED


def main() -> None:
    """Print what survives, and the share that is killed."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--sample', type=int, default=120, help='mutants (default: 120)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--folders', nargs='+', default=FOLDERS, choices=FOLDERS)
    parser.add_argument('--lines', nargs='+', metavar='FILE:LINE',
                        help='all mutants of these lines instead of a sample')
    parser.add_argument('--tests', nargs='+', default=TESTS, help='of which the map is made')
    parser.add_argument('--map', type=Path, default=Path('work_dirs/mutants.json'),
                        help='which test calls what (default: %(default)s)')
    parser.add_argument('--least', type=float, default=85.0, help='per cent that must be killed')
    args = parser.parse_args()
    # The same examples in every process, and none of an earlier one.
    hypothesis.settings.register_profile('mutants', derandomize=True, database=None, deadline=None)
    hypothesis.settings.load_profile('mutants')
    os.environ['OMP_NUM_THREADS'] = '1'
    for name in sources():
        importlib.import_module(name[:-3].replace('/', '.').removesuffix('.__init__'))
    table = map_tests(args.map.absolute(), tuple(args.tests))
    mutants = [mutant for name in sources(tuple(args.folders)) for mutant in mutants_of(name)]
    print(f'{len(mutants)} mutants, {len(table)} tests', flush=True)
    if args.lines:
        chosen = [one for one in mutants if f'{one.path}:{one.line}' in args.lines]
    else:
        chosen = random.Random(args.seed).sample(mutants, min(args.sample, len(mutants)))
    counts: Counter = Counter()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        os.environ['PYTEST_DEBUG_TEMPROOT'] = folder
        for mutant in chosen:
            outcome = try_mutant(mutant, table)
            counts[outcome] += 1
            if outcome != KILLED:
                print(f'{outcome}: {mutant}', flush=True)
    share = 100 * counts[KILLED] / max(1, len(chosen))
    print(f'{len(chosen)} mutants: {dict(counts)}; {share:.0f} % killed, '
          f'{time.monotonic() - began:.0f} s', flush=True)
    sys.exit(share < args.least)


if __name__ == '__main__':
    main()
