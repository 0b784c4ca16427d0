"""Feeds damaged files, settings and command lines to what reads them.

    python -m tests.fuzz --cases 10000

Of each kind of input; the table says how many cases failed, and the first failures in full.
"""
from __future__ import annotations

import argparse
import sys
import time

from .harness import fuzz
from .targets import TARGETS


def main() -> None:
    """Print a table: input, cases, failures, seconds."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--cases', type=int, default=10_000, help='of each kind (default: 10,000)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--inputs', nargs='+', choices=sorted(TARGETS), default=list(TARGETS))
    args = parser.parse_args()
    failed = 0
    for name in args.inputs:
        began = time.process_time()
        cases, failures = fuzz(TARGETS[name], args.cases, args.seed)
        failed += len(failures)
        print(f'{name:16} {cases:7} cases  {len(failures):3} kinds of failure  '
              f'{time.process_time() - began:6.0f} s', flush=True)
        for failure in failures[:10]:
            print(f'    {failure}', flush=True)
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
