"""Print, and draw, the channel units of an OpenMMLab model: `graph_summary.py CONFIG`."""
from __future__ import annotations

import argparse

import torch
from mmengine.registry import MODELS, init_default_scope

import razor_ext  # noqa: F401  (repairs upstream packages, registers models)
from razor_ext.engine import load_tool_config
from razor_ext.engine.option_action import OptionAction
from razor_ext.graph import analyze, proof_folder
from razor_ext.structure import build_demo_input


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='model config, a file or package::path')
    parser.add_argument('--shape', type=int, nargs='+',
                        help="shape of the example input (default: that of the model's family)")
    parser.add_argument('--keep', nargs='*', default=[], help='modules or parameters left whole')
    parser.add_argument('--draw', help='also draw to this .svg or .png file')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, help='config overrides')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_tool_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = MODELS.build(cfg.model)
    data = torch.randn(args.shape) if args.shape else build_demo_input(None).get_data(model)
    graph = analyze(model, data, keep=args.keep, memory=proof_folder())
    print(graph.summary())
    print(f'masked and sliced outputs differ by {graph.prove(0.5):.1e} at half of every unit')
    if args.draw:
        graph.draw(args.draw)


if __name__ == '__main__':
    main()
