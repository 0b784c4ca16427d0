"""What a divisor of the channel counts costs and brings, measured on whole models."""
from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import Config

from razor_ext.structure import load_structure

from ..counts import count_onnx
from ..errors import DeployError
from .random_export import export_random
from .timing import Spread, time_onnx

MODES = ('native', 'padded')


def unit_width(name: str) -> int:
    """Channels of a unit before pruning: MMRazor ends a unit's name with them.

    Raises:
        DeployError: If the name does not end with a number.
    """
    width = name.rpartition('_')[2]
    if not width.isdigit():
        raise DeployError(f'unit {name!r} is not named `<module>_(start, end)_<channels>`')
    return int(width)


def round_structure(subnet: Mapping[str, int], divisor: int) -> dict[str, int]:
    """Move every unit to the nearest multiple of a divisor.

    Args:
        subnet: Unit names and channels kept.
        divisor: Divisor; a unit narrower than it stays whole.

    Returns:
        The new structure; no unit is empty or wider than it was before pruning.
    """
    return {name: min(max(divisor, divisor * round(kept / divisor)), unit_width(name))
            for name, kept in subnet.items()}


def sweep(deploy_cfg: Config, model_cfg: Config, divisors: Sequence[int], folder: Path,
          modes: Sequence[str] = MODES, integers: bool = True, rounds: int = 30,
          threads: int = 1) -> list[dict]:
    """Measure a pruned model at several divisors, `native` and `padded`.

    `native` rounds the structure itself, as pruning with a divisor does; `padded` keeps it and
    fills up with zeros, as MMRazor deploys. Weights are random: they do not change the time.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        model_cfg: Config of the pruned model, with its ``fix_subnet``.
        divisors: Divisors to try.
        folder: Where the ONNX files go.
        modes: Which of `native` and `padded`.
        integers: Measure 8-bit integers too.
        rounds: Turns of the measurement.
        threads: Threads; 0 takes all cores.

    Returns:
        One row per file: ``divisor``, ``mode``, ``bits``, ``macs``, ``params``, ``bytes``,
        ``ms`` (spread).

    Raises:
        DeployError: If the config has no ``fix_subnet``, or a divisor or mode makes no sense.
    """
    if 'fix_subnet' not in model_cfg.model:
        raise DeployError(f'model of {model_cfg.filename} has no `fix_subnet`; give the deploy '
                          'config of a pruned model')
    if any(divisor < 1 for divisor in divisors) or not set(modes) <= set(MODES):
        raise DeployError(f'divisors {list(divisors)} must be positive, modes {list(modes)} among '
                          f'{list(MODES)}')
    subnet = load_structure(model_cfg.model.fix_subnet)
    files, rows = {}, {}
    for divisor in divisors:
        for mode in modes:
            config = copy.deepcopy(model_cfg)
            config.model.fix_subnet = round_structure(subnet, divisor) if mode == 'native' \
                else subnet
            config.model.divisor = 1 if mode == 'native' else divisor
            for bits, path in export_random(deploy_cfg, config, folder, f'{mode}_{divisor}',
                                            integers).files.items():
                key = f'{mode}_{divisor}_{bits}'
                files[key] = path
                rows[key] = {'divisor': divisor, 'mode': mode, 'bits': bits, **count_onnx(path)}
    for key, values in time_onnx(files, threads, rounds).items():
        rows[key]['ms'] = Spread.of(values).scaled(1e3).as_dict()
    return list(rows.values())


def best_row(rows: Sequence[Mapping], bits: int) -> Mapping:
    """Row with the least median time per multiply-accumulate among the unpadded ones of `bits`.

    Padding is left out: the zeros it multiplies are no work done.
    """
    return min((row for row in rows if row['bits'] == bits and row['mode'] == 'native'),
               key=lambda row: row['ms']['median'] / row['macs'])


def draw(rows: Sequence[Mapping], path: Path) -> None:
    """Draw time, and time per multiply-accumulate, over the divisor."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(10, 4), layout='constrained')
    axes = figure.subplots(1, 2)
    for mode, bits in sorted({(row['mode'], row['bits']) for row in rows}):
        chosen = sorted((row for row in rows if (row['mode'], row['bits']) == (mode, bits)),
                        key=lambda row: row['divisor'])
        divisors = [row['divisor'] for row in chosen]
        median = np.array([row['ms']['median'] for row in chosen])
        spread = np.abs([[row['ms'][end] for row in chosen] for end in ('min', 'max')] - median)
        macs = np.array([row['macs'] for row in chosen]) / 1e8
        label = f'{mode}, {bits} bits'
        axes[0].errorbar(divisors, median, spread, marker='o', capsize=3, label=label)
        axes[1].plot(divisors, median / macs, marker='o', label=label)
    for axis, title in zip(axes, ('ms per image', 'ms per 100 M MACs')):
        axis.set_xscale('log', base=2)
        axis.set_xlabel('divisor')
        axis.set_ylabel(title)
        axis.set_ylim(bottom=0)
    axes[0].legend()
    figure.savefig(path)
