"""Slice the model of a compression run's checkpoint and show what it saves."""
from __future__ import annotations

import argparse
import sys

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from prettytable import PrettyTable

from razor_ext.engine import check_config
from razor_ext.engine.console import quiet
from razor_ext.engine.families import set_demo_input
from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import merge_options, read_config


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the pruning or finetune run')
    parser.add_argument('checkpoint', help='one of its checkpoints')
    parser.add_argument('--out', required=True,
                        help='the compressed folder to write, as a run leaves it')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction,
                        help='override settings of the config, key=value')
    return parser.parse_args()


def format_table(costs: dict[str, dict[str, float]]) -> str:
    """Lay out dense and compressed figures.

    Args:
        costs: 'dense' and 'compressed', of `summarize_costs`.
    """
    rows = [('parameters (M)', 'params', 1e6), ('MACs (M)', 'macs', 1e6), ('BOPs (G)', 'bops', 1e9),
            ('weights (MB)', 'bytes', 1e6)]
    table = PrettyTable(['', 'dense', 'compressed', 'reduction'], align='r')
    table.align[''] = 'l'
    for title, key, unit in rows:
        dense, left = costs['dense'][key], costs['compressed'][key]
        table.add_row([title, f'{dense / unit:.3f}', f'{left / unit:.3f}',
                       f'{1 - left / dense:.2%}'])
    return table.get_string()


def main() -> None:
    """Extract, print and write; an input that does not fit ends it with one line."""
    from razor_ext.pruning import TargetMissedError, extract
    from razor_ext.structure.rebuild import UnprunedError

    args = parse_args()
    quiet()
    try:
        cfg = read_config(args.config)
        check_config(cfg, options=args.cfg_options)
        merge_options(cfg, args.cfg_options or {})
        set_demo_input(cfg)
        compressed, dense = extract(cfg, args.checkpoint)
    except (FileNotFoundError, TargetMissedError, UnprunedError, ValueError) as error:
        sys.exit(f'extract_compressed: {error}')
    print(format_table(compressed.costs(dense)))
    compressed.write(args.out, cfg)
    print(f'written to {args.out}')


if __name__ == '__main__':
    main()
