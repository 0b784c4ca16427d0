r"""Compare latencies estimated from a latency file with those of exported structures.

    python tools/analysis/latency_check.py DEPLOY_CFG configs/pruning/rtmpose/geta_prune_...py \
        --table latency.json
"""
from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path

import numpy as np
from mmengine.config import Config
from prettytable import PrettyTable
from scipy.stats import spearmanr

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.checks import check_files
from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.latency import Spread
from razor_ext.engine import load_tool_config, write_json
from razor_ext.structure.latency import FLOAT, INTEGER, LatencyFileError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('deploy_cfg', help='deploy config, e.g. of configs/deploy')
    parser.add_argument('config', help='config of the pruning run the table was measured for')
    parser.add_argument('model_cfg', nargs='?', help='deploy config of a CompressedModel '
                        '(default: one of the architecture that is pruned)')
    parser.add_argument('--table', required=True, help='latency file')
    parser.add_argument('--structures', type=int, default=8)
    parser.add_argument('--divisor', type=int, default=8, help='of the structures (default: 8)')
    parser.add_argument('--rounds', type=int, default=100, help='runs of each file (default: 100)')
    parser.add_argument('--out', help='the file to save the figures, JSON')
    return parser.parse_args()


def main() -> None:
    """Draw structures, estimate, export, measure, compare."""
    args = parse_args()
    try:
        check_files(deploy_config=args.deploy_cfg)
        rows = compare(args)
    except (DeployError, LatencyFileError) as error:
        sys.exit(f'latency_check: {error}')
    if args.out:
        write_json(args.out, rows)
    table = PrettyTable(['share of MACs', 'bits', 'estimated ms', 'measured ms'], align='r')
    for row in rows:
        table.add_row([f'{row["share"]:.2f}', row['bits'], f'{row["estimated"]:.3f}',
                       f'{Spread(**row["ms"]):.3f}'])
    print(f'{table}\nspreads are minimum / median / maximum')
    for bits in (FLOAT, INTEGER):
        estimated, measured = (np.array([value for row, value in zip(rows, values)
                                         if row['bits'] == bits]) for values in (
            [row['estimated'] for row in rows], [row['ms']['min'] for row in rows]))
        factor = (estimated * measured).sum() / (estimated ** 2).sum()
        error = np.abs(factor * estimated - measured) / measured
        print(f'{bits} bits: rank correlation {spearmanr(estimated, measured)[0]:.3f}, minimum '
              f'measured = {factor:.2f} x estimate, off by {error.mean():.1%} in the mean and '
              f'{error.max():.1%} at most')


def compare(args: argparse.Namespace) -> list[dict]:
    """Return a row per structure and bit width."""
    from latency_table import build_algorithm

    from razor_ext.deploy.latency import time_onnx
    from razor_ext.deploy.latency.divisor_sweep import round_structure
    from razor_ext.deploy.latency.random_export import export_random
    from razor_ext.deploy.latency.speed import find_structure
    from razor_ext.pruning.latency import model_shapes
    from razor_ext.structure.latency import LatencyCost, LayerTimes
    deploy_cfg = Config.fromfile(args.deploy_cfg)
    cfg = load_tool_config(args.config)
    algorithm = build_algorithm(cfg)
    graph = algorithm.mutator.graph
    shapes = model_shapes(algorithm.architecture, algorithm.mutator)
    model_cfg = copy.deepcopy(cfg) if args.model_cfg is None else load_tool_config(args.model_cfg)
    if args.model_cfg is None:
        model_cfg.model = dict(type='mmrazor.CompressedModel', architecture=cfg.model.architecture)
    costs = {bits: LatencyCost(graph.units, shapes, LayerTimes(args.table),
                               dict.fromkeys(shapes, bits)) for bits in (FLOAT, INTEGER)}
    rows, files, feed = [], {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        for number, share in enumerate(np.linspace(0.2, 0.9, args.structures)):
            structure = round_structure(find_structure(graph, float(share), args.divisor, number),
                                        args.divisor)
            config = copy.deepcopy(model_cfg)
            config.model.update(fix_subnet=structure, divisor=1)
            export = export_random(deploy_cfg, config, Path(scratch), str(number))
            feed = {'input': export.inputs[:1].numpy()}
            for bits, path in export.files.items():
                files[len(rows)] = path
                rows.append({'share': graph.macs(structure) / graph.total_macs, 'bits': bits,
                             'estimated': costs[bits](structure), 'structure': structure})
        seconds = time_onnx(files, 1, args.rounds, feed=feed)
    for number, row in enumerate(rows):
        row['ms'] = Spread.of(seconds[number]).scaled(1e3).as_dict()
    return rows


if __name__ == '__main__':
    main()
