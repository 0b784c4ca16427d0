"""Choose the divisor of every channel unit from times measured on this machine."""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.config import Config
from prettytable import PrettyTable

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.checks import check_files
from razor_ext.deploy.errors import DeployError
from razor_ext.engine import load_tool_config, write_json
from razor_ext.engine.option_action import OptionAction
from razor_ext.graph import GraphError, analyze


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('deploy_cfg', help='deploy config, e.g. of configs/deploy')
    parser.add_argument('model_cfg', help='config of the dense model')
    parser.add_argument('--bits', type=int, nargs='+', default=[32, 8],
                        help='bit widths to choose for (default: 32 8)')
    parser.add_argument('--keep', type=float, default=0.5,
                        help='share of channels expected to be kept (default: 0.5)')
    parser.add_argument('--work-dir', default='.', help='folder of divisors.json')
    parser.add_argument('--table-dir', default='work_dirs/latency',
                        help='folder of measured times, one file per machine')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the model config, key=value')
    return parser.parse_args()


def main() -> None:
    """Trace, measure, choose, write."""
    args = parse_args()
    try:
        check_files(deploy_config=args.deploy_cfg)
        deploy_cfg = Config.fromfile(args.deploy_cfg)
        model_cfg = load_tool_config(args.model_cfg, args.cfg_options)
        chosen, widths = choose(deploy_cfg, model_cfg, args)
    except (DeployError, GraphError) as error:
        sys.exit(f'choose_divisors: {error}')
    table = PrettyTable(['unit', 'channels', *(f'{bits} bits' for bits in chosen)], align='r')
    table.align['unit'] = 'l'
    for name, width in widths.items():
        table.add_row([name, width, *(divisors[name] for divisors in chosen.values())])
    print(table)
    path = Path(args.work_dir, 'divisors.json')
    write_json(path, {str(bits): divisors for bits, divisors in chosen.items()})
    print(f'written to {path}')


def choose(deploy_cfg: Config, model_cfg: Config,
           args: argparse.Namespace) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """Return divisors by bit width and unit, and the channels of every unit."""
    import numpy as np
    import torch

    from razor_ext.deploy.convert import Conversion
    from razor_ext.deploy.latency.divisors import choose_divisors, unit_layers
    from razor_ext.deploy.latency.table import LatencyTable
    conversion = Conversion(deploy_cfg, model_cfg, '')
    task = conversion.build_task()
    model = conversion.build_model().eval()
    _, batch = task.create_input(np.zeros((64, 48, 3), np.uint8),
                                 data_preprocessor=model.data_preprocessor)
    units = analyze(model, {'inputs': batch, 'data_samples': None, 'mode': 'tensor'}).units
    with torch.no_grad():
        layers = unit_layers(model, units, lambda: model(batch, None, mode='tensor'))
    table = LatencyTable(args.table_dir)
    widths = {unit.name: unit.num_channels for unit in units}
    chosen = {bits: choose_divisors(layers, widths, table, bits, args.keep) for bits in args.bits}
    table.save()
    return chosen, widths


if __name__ == '__main__':
    main()
