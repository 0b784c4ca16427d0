"""Lay several finished runs of tools/compress.py side by side, with a Pareto plot for each cost.

    python tools/analysis/compare_runs.py work_dirs/compress_geta_A work_dirs/compress_l1_A
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from razor_ext.report.runs import write_runs
from razor_ext.workflow.run import read_document


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('runs', nargs='+', type=Path, metavar='RUN',
                        help='work directory with a report.json')
    parser.add_argument('--metric', help='to judge by (default: the first of the evaluation)')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/compare_runs'),
                        help='folder of the page (default: work_dirs/compare_runs)')
    return parser.parse_args()


def main() -> None:
    """Print the table, and write the page."""
    args = parse_args()
    try:
        table, page = write_runs({run.name: read_document(run) for run in args.runs}, args.out,
                                 args.metric)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'compare_runs: {error}')
    print(f'{table}\nthe page is {page}')


if __name__ == '__main__':
    main()
