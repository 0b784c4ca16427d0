"""Parameters and multiply-accumulates of the model of a config, dense or pruned."""
from __future__ import annotations

import argparse

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.registry import init_default_scope
from prettytable import PrettyTable

from razor_ext.deploy.counts import count_torch
from razor_ext.engine import load_tool_config
from razor_ext.engine.console import quiet
from razor_ext.engine.families import find_config_input
from razor_ext.engine.option_action import OptionAction
from razor_ext.structure import build_demo_input


def parse_args() -> argparse.Namespace:
    """Parse the command line; the options are those of MMRazor's tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the model, a file or package::path')
    parser.add_argument('--shape', type=int, nargs='+',
                        help='input height and width, or the whole shape with batch and channels '
                        "(default: what the config or the model tells, by its family; else an "
                        'image of 224 x 224)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction,
                        help='override settings of the config, key=value')
    return parser.parse_args()


def input_shape(shape: list[int]) -> tuple[int, ...]:
    """Return the whole input shape of `--shape`.

    Args:
        shape: one side, height and width, or (batch, channels, ...).

    Raises:
        ValueError: the shape has another form.
    """
    if len(shape) == 1:
        return (1, 3, shape[0], shape[0])
    if len(shape) == 2:
        return (1, 3, *shape)
    if len(shape) >= 4:
        return tuple(shape)
    raise ValueError(f'--shape takes H W or N C H W, got {shape}')


def main() -> None:
    """Print the table."""
    from mmengine.model import revert_sync_batchnorm
    from mmrazor.registry import MODELS

    args = parse_args()
    quiet()
    cfg = load_tool_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    shape = input_shape(args.shape) if args.shape else find_config_input(cfg, cfg.model)
    data = build_demo_input(shape).get_data(model)
    tensor = data['inputs'] if isinstance(data, dict) else data
    counts = count_torch(model, lambda: model(**data) if isinstance(data, dict) else model(data))
    table = PrettyTable(['input', 'params (M)', 'MACs (M)'])
    table.add_row([' x '.join(map(str, tensor.shape)), f'{counts["params"] / 1e6:.3f}',
                   f'{counts["macs"] / 1e6:.1f}'])
    print(table)


if __name__ == '__main__':
    main()
