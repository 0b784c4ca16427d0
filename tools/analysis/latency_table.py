"""Measure the layers of a model on this machine, for GETA's target of kind 'latency'.

    python tools/analysis/latency_table.py configs/pruning/rtmpose/geta_prune_...py
    # then, in that config: target = dict(kind='latency', ratio=0.5, table='.../latency.json')
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope
from mmengine.runner import Runner  # noqa: F401  (registers the scopes)

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.checks import check_files
from razor_ext.deploy.errors import DeployError
from razor_ext.engine import write_json


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a GETA run (geta_prune_*.py)')
    parser.add_argument('--bits', type=int, nargs='+', default=[32, 8],
                        help='bit widths (default: 32 8)')
    parser.add_argument('--out', default='work_dirs/latency/latency.json',
                        help='the latency file (default: work_dirs/latency/latency.json)')
    parser.add_argument('--table-dir', default='work_dirs/latency',
                        help='folder of measured times, one file per machine')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={},
                        help='changes to the config, key=value')
    return parser.parse_args()


def main() -> None:
    """Analyse, measure, write."""
    args = parse_args()
    try:
        check_files(config=args.config)
        cfg = Config.fromfile(args.config)
        cfg.merge_from_dict(args.cfg_options)
        if cfg.model.get('type') != 'GETA':
            raise DeployError(f'model of {args.config} is a {cfg.model.get("type")!r}; give the '
                              'config of a GETA run')
        kinds = measure(cfg, args)
    except DeployError as error:
        sys.exit(f'latency_table: {error}')
    from razor_ext.deploy.latency_table import hardware_id
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, {'hardware': hardware_id(), 'kinds': kinds})
    print(f'{len(kinds)} kinds of layers written to {args.out}')


def measure(cfg: Config, args: argparse.Namespace) -> list[dict]:
    """Return the kinds of layers and their times."""
    from mmrazor.registry import MODELS
    from razor_ext.algorithms.geta.latency import model_shapes

    from razor_ext.deploy.latency_table import LatencyTable, measure_kinds
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    # Neither weights nor the target, which wants the file to be made, are of interest here.
    cfg.model.architecture.init_cfg = None
    cfg.model.target = dict(kind='macs', ratio=0.5)
    model = MODELS.build(cfg.model)
    table = LatencyTable(args.table_dir)
    try:
        return measure_kinds(model_shapes(model.architecture, model.mutator).values(), table,
                             args.bits)
    finally:
        table.save()


if __name__ == '__main__':
    main()
