"""Measure a pruned model at several divisors of its channel counts, and draw the result."""
from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from mmengine.config import Config
from prettytable import PrettyTable

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.checks import check_files
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency import Spread
from razor_ext.engine import load_tool_config, write_json
from razor_ext.engine.option_action import OptionAction
from razor_ext.structure import StructureError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('deploy_cfg', help='deploy config, e.g. of configs/deploy')
    parser.add_argument('model_cfg', help='deploy config of a pruned model, with its fix_subnet')
    parser.add_argument('--divisors', type=int, nargs='+', default=[1, 2, 4, 8, 16, 32])
    parser.add_argument('--modes', nargs='+', default=['native', 'padded'],
                        choices=['native', 'padded'],
                        help='native: round the structure; padded: fill it up with zeros')
    parser.add_argument('--no-integers', action='store_true', help='measure floats only')
    parser.add_argument('--rounds', type=int, default=30, help='runs of each file (default: 30)')
    parser.add_argument('--threads', type=int, default=1, help='0 for all cores (default: 1)')
    parser.add_argument('--work-dir', default='.',
                        help='folder of divisor_sweep.json and divisor_sweep.png')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the model config, key=value')
    return parser.parse_args()


def main() -> None:
    """Sweep, print, draw."""
    args = parse_args()
    try:
        check_files(deploy_config=args.deploy_cfg)
        deploy_cfg = Config.fromfile(args.deploy_cfg)
        model_cfg = load_tool_config(args.model_cfg, args.cfg_options)
        from razor_ext.deploy.latency.divisor_sweep import best_row, draw, sweep
        work_dir = Path(args.work_dir)
        work_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='.sweep-', dir=work_dir) as folder:
            rows = sweep(deploy_cfg, model_cfg, args.divisors, Path(folder), args.modes,
                         not args.no_integers, args.rounds, args.threads)
            draw(rows, Path(folder, 'divisor_sweep.png'))
            os.replace(Path(folder, 'divisor_sweep.png'), work_dir / 'divisor_sweep.png')
        write_json(work_dir / 'divisor_sweep.json', rows)
    except (DeployError, StructureError) as error:
        sys.exit(f'divisor_sweep: {error}')
    table = PrettyTable(['divisor', 'mode', 'bits', 'MACs (M)', 'file (MB)',
                         'ms (min / median / max)', 'ms per 100 M MACs'], align='r')
    for row in rows:
        table.add_row([row['divisor'], row['mode'], row['bits'], f'{row["macs"] / 1e6:.1f}',
                       f'{row["bytes"] / 1e6:.2f}', f'{Spread(**row["ms"]):.2f}',
                       f'{row["ms"]["median"] / row["macs"] * 1e8:.2f}'])
    print(table)
    for bits in sorted({row['bits'] for row in rows if row['mode'] == 'native'}):
        best = best_row(rows, bits)
        print(f'{bits} bits: divisor {best["divisor"]} takes the least time per '
              'multiply-accumulate')


if __name__ == '__main__':
    main()
