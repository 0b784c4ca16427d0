"""Channel units of the model of a config: what can be pruned, under MMRazor's names.

Of a pruning run: the units that its algorithm prunes. Of any other model: those of the dependency
graph, whose names divisor tables and fix_subnet.json take.
"""
from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from razor_ext.engine import load_tool_config, write_json
from razor_ext.engine.console import quiet
from razor_ext.engine.families import find_config_input
from razor_ext.engine.option_action import OptionAction
from razor_ext.graph import GraphError, analyze
from razor_ext.structure.rebuild import build_demo_input
from razor_ext.structure.templates import choice_template, config_template


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMRazor's tool, and two of our own."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model, or of a pruning run: a file or '
                        'package::path')
    parser.add_argument('-c', '--with-channel', action='store_true',
                        help='output the layers of every unit')
    parser.add_argument('-i', '--with-init-args', action='store_true',
                        help='output the arguments of every unit')
    parser.add_argument('--choice', action='store_true',
                        help='output {unit: channels} only, the form of fix_subnet.json')
    parser.add_argument('-o', '--output-path', help='the JSON file to write')
    parser.add_argument('--tracer', choices=('graph', 'mmrazor'),
                        help="find the units by the dependency graph or by MMRazor's tracer "
                        "(default: a pruning run's own way, else the graph)")
    parser.add_argument('--shape', type=int, nargs='+',
                        help='whole shape of the input on which the model is traced, where it '
                        'cannot be told from the config')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction,
                        help='override settings of the config, key=value')
    return parser.parse_args()


def demo_input(cfg: Config, shape: list[int] | None) -> Any:
    """Return what makes the input on which the model of a config is traced.

    Args:
        cfg: the config.
        shape: of `--shape`; None for what the model's config, its data or its family say, then
            MMRazor's default, which becomes a pose model's input size.
    """
    return build_demo_input(shape or cfg.model.get('demo_input')
                            or find_config_input(cfg, cfg.model) or (1, 3, 224, 224))


def units_of_graph(model: nn.Module, demo: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return the units of the dependency graph."""
    units = analyze(model, demo.get_data(model)).units
    if args.choice:
        return choice_template(units)
    return config_template(units, args.with_channel, args.with_init_args)


def units_of_mutator(mutator: Any, args: argparse.Namespace) -> dict[str, Any]:
    """Return the units of a mutator, of this package or of MMRazor."""
    if args.choice:
        return mutator.choice_template
    return mutator.config_template(with_channels=args.with_channel,
                                   with_unit_init_args=args.with_init_args)


def mmrazor_mutator(model: nn.Module, demo: Any) -> Any:
    """Return a mutator whose units MMRazor's tracer has found."""
    from mmrazor.models.mutators import ChannelMutator
    mutator = ChannelMutator(
        channel_unit_cfg=dict(type='L1MutableChannelUnit'),
        parse_cfg=dict(_scope_='mmrazor', type='ChannelAnalyzer', tracer_type='FxTracer',
                       demo_input=demo))
    mutator.prepare_from_supernet(model)
    return mutator


def main() -> None:
    """Print or write the units."""
    from mmrazor.models import BaseAlgorithm
    from mmrazor.registry import MODELS

    args = parse_args()
    quiet()
    cfg = load_tool_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    algorithm = isinstance(model, BaseAlgorithm)
    if algorithm and args.tracer is None:
        units = units_of_mutator(model.mutator, args)
    elif args.tracer == 'mmrazor':
        units = units_of_mutator(
            model.mutator if algorithm else mmrazor_mutator(model, demo_input(cfg, args.shape)),
            args)
    else:
        try:
            units = units_of_graph(model.architecture if algorithm else model,
                                   demo_input(cfg, args.shape), args)
        except (GraphError, ValueError) as error:
            sys.exit(f'get_channel_units: {error} (--shape sets the shape of the input)')
    if args.output_path:
        write_json(args.output_path, units)
    else:
        print(json.dumps(units, indent=4))


if __name__ == '__main__':
    main()
