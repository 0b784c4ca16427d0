r"""Compare the speed of a dense, a pruned and a quantized model under ONNX Runtime.

    python tools/analysis/deploy_latency.py DEPLOY_CFG \
        configs/pruning/rtmpose/geta_deploy_rtmpose-s_8xb256-420e_coco-256x192.py \
        --beside NAME=mmpose::body_2d_keypoint/rtmpose/coco/...py

The commands of all published figures are in docs/benchmarks.md.
"""
from __future__ import annotations

import argparse
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


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('deploy_cfg', help='deploy config, e.g. of configs/deploy')
    parser.add_argument('model_cfg', help='deploy config of a CompressedModel (geta_deploy_*.py); '
                        'its fix_subnet is not read')
    parser.add_argument('--structure', metavar='FILE',
                        help='fix_subnet.json to time (default: one is drawn)')
    parser.add_argument('--share', type=float, default=0.5,
                        help='share of the MACs that a drawn one keeps at most (default: 0.5)')
    parser.add_argument('--divisor', type=int, default=8,
                        help='of the channel counts (default: 8)')
    parser.add_argument('--no-padded', action='store_true',
                        help='leave out the padded structure: MMRazor pads image models only, '
                        'not gait models')
    parser.add_argument('--beside', nargs='*', default=[], metavar='NAME=CONFIG',
                        help='other dense models to time along, files or package::path')
    parser.add_argument('--rounds', type=int, default=100, help='runs of each file (default: 100)')
    parser.add_argument('--threads', type=int, default=1, help='0 for all cores (default: 1)')
    parser.add_argument('--seed', type=int, default=0, help='of the structure')
    parser.add_argument('--out', help='the file to save the figures, JSON')
    parser.add_argument('--keep', metavar='FOLDER', help='keep the ONNX files there')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the model config, key=value')
    return parser.parse_args()


def main() -> None:
    """Export, measure, print."""
    args = parse_args()
    try:
        check_files(deploy_config=args.deploy_cfg, structure=args.structure)
        deploy_cfg = Config.fromfile(args.deploy_cfg)
        model_cfg = load_tool_config(args.model_cfg, args.cfg_options)
        beside = {name: load_tool_config(path) for name, _, path in
                  (item.partition('=') for item in args.beside)}
        from razor_ext.deploy.figures import describe_environment
        from razor_ext.deploy.latency.speed import compare_speed
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(args.keep or scratch)
            folder.mkdir(parents=True, exist_ok=True)
            figures = compare_speed(deploy_cfg, model_cfg, folder, args.share, args.divisor,
                                    beside, args.rounds, args.threads, args.seed,
                                    not args.no_padded, args.structure)
    except DeployError as error:
        sys.exit(f'deploy_latency: {error}')
    if args.out:
        write_json(args.out, {**figures, 'environment': describe_environment()})
    print_table(figures['files'])


def print_table(rows: dict[str, dict]) -> None:
    """Print one line per file."""
    baselines = ('dense fp32', 'dense int8', 'padded fp32')
    table = PrettyTable(['', 'MACs (M)', 'file (MB)', 'ms',
                         *(f'faster than {name}' for name in baselines)], align='r')
    for name, row in rows.items():
        table.add_row([name, f'{row["macs"] / 1e6:.0f}', f'{row["bytes"] / 1e6:.2f}',
                       f'{Spread(**row["ms"]):.2f}',
                       *(f'{Spread(**row["faster_than"][other]):.2f}'
                         if other in row['faster_than'] else '' for other in baselines)])
    table.align[''] = 'l'
    print(f'{table}\nspreads are minimum / median / maximum')


if __name__ == '__main__':
    main()
