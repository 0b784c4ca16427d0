"""Measure the layers of a model on this machine, for a target of kind 'latency'.

    python tools/analysis/latency_table.py configs/pruning/rtmpose/geta_prune_...py
    # then, in that config: target = dict(kind='latency', ratio=0.5, table='.../latency.json')
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner  # noqa: F401  (registers the scopes)

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.errors import DeployError
from razor_ext.engine import load_tool_config, write_json
from razor_ext.engine.option_action import OptionAction

if TYPE_CHECKING:
    from razor_ext.pruning import PruningAlgorithm


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a pruning run over the dependency graph '
                        '(geta_prune_*.py)')
    parser.add_argument('--bits', type=int, nargs='+', default=[32, 8],
                        help='bit widths (default: 32 8)')
    parser.add_argument('--out', default='work_dirs/latency/latency.json',
                        help='the latency file (default: work_dirs/latency/latency.json)')
    parser.add_argument('--table-dir', default='work_dirs/latency',
                        help='folder of measured times, one file per machine')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the config, key=value')
    return parser.parse_args()


def main() -> None:
    """Analyse, measure, write."""
    args = parse_args()
    try:
        cfg = load_tool_config(args.config, args.cfg_options)
        kinds = measure(cfg, args)
    except DeployError as error:
        sys.exit(f'latency_table: {error}')
    from razor_ext.deploy.latency.table import hardware_id
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    write_json(args.out, {'hardware': hardware_id(), 'kinds': kinds})
    print(f'{len(kinds)} kinds of layers written to {args.out}')


def build_algorithm(cfg: Config, **settings: Any) -> PruningAlgorithm:
    """Build the algorithm of a pruning run, of which only the units are of interest.

    Args:
        cfg: config of the run.
        settings: of its `model`, to be changed.

    Raises:
        DeployError: it is none of an algorithm over the dependency graph.
    """
    from mmrazor.registry import MODELS

    from razor_ext.pruning import PruningAlgorithm
    kind = cfg.model.get('type')
    known = MODELS.get(kind)
    if not (isinstance(known, type) and issubclass(known, PruningAlgorithm)):
        raise DeployError(f'model of {cfg.filename} is a {kind!r}; give the config of a pruning '
                          'run over the dependency graph (geta_prune_*.py)')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    # The target may want the very file that is to be measured.
    model = {**cfg.model, 'checkpoint': None, 'target': dict(kind='macs', ratio=0.5), **settings}
    model['architecture'] = {**model['architecture'], 'init_cfg': None}
    return MODELS.build(model)


def measure(cfg: Config, args: argparse.Namespace) -> list[dict]:
    """Return the kinds of layers and their times."""
    from razor_ext.deploy.latency.table import LatencyTable, measure_kinds
    from razor_ext.pruning.latency import model_shapes
    model = build_algorithm(cfg)
    table = LatencyTable(args.table_dir)
    try:
        return measure_kinds(model_shapes(model.architecture, model.mutator).values(), table,
                             args.bits)
    finally:
        table.save()


if __name__ == '__main__':
    main()
