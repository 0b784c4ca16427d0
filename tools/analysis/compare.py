"""Print one table of models before and after compression."""
from __future__ import annotations

import argparse
from pathlib import Path

from razor_ext.report import Stage, compare


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--stage', nargs=3, action='append', required=True,
                        metavar=('NAME', 'DEPLOY_DIR', 'METRICS'),
                        help='title, folder of tools/deploy.py, file of tools/test.py --out; '
                        'once for each model, the baseline first')
    parser.add_argument('--metric', nargs='+', default=[],
                        help='metrics to show (default: the first one)')
    parser.add_argument('--rounds', type=int, default=50, help='interleaved latency runs')
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    args = parse_args()
    stages = [Stage(name, Path(folder), Path(metrics)) for name, folder, metrics in args.stage]
    print(compare(stages, args.metric, args.rounds))


if __name__ == '__main__':
    main()
