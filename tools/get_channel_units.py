"""Channel units of the model of a config: what can be pruned, under MMRazor's names."""
from __future__ import annotations

import argparse
import json

from mmengine.config import Config, DictAction
from mmengine.registry import init_default_scope

import razor_ext  # noqa: F401  repairs of upstream come before its import
from razor_ext.engine import write_json


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMRazor's tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model, or of a pruning run')
    parser.add_argument('-c', '--with-channel', action='store_true',
                        help='output the layers of every unit')
    parser.add_argument('-i', '--with-init-args', action='store_true',
                        help='output the arguments of every unit')
    parser.add_argument('--choice', action='store_true',
                        help='output {unit: channels} only, the form of fix_subnet.json')
    parser.add_argument('-o', '--output-path', help='the JSON file to write')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction,
                        help='override settings of the config, key=value')
    return parser.parse_args()


def main() -> None:
    """Print or write the units."""
    from mmrazor.models import BaseAlgorithm
    from mmrazor.models.mutators import ChannelMutator
    from mmrazor.registry import MODELS

    args = parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    if isinstance(model, BaseAlgorithm):
        mutator = model.mutator
    else:
        mutator = ChannelMutator(
            channel_unit_cfg=dict(type='L1MutableChannelUnit'),
            parse_cfg=dict(type='ChannelAnalyzer', tracer_type='FxTracer',
                           demo_input=dict(type='DefaultDemoInput')))
        mutator.prepare_from_supernet(model)
    units = mutator.choice_template if args.choice else mutator.config_template(
        with_channels=args.with_channel, with_unit_init_args=args.with_init_args)
    if args.output_path:
        write_json(args.output_path, units)
    else:
        print(json.dumps(units, indent=4))


if __name__ == '__main__':
    main()
