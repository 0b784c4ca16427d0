"""How much faster a model is when pruned, quantized or both, side by side on this machine."""
from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mmengine.config import Config

from razor_ext.graph import ChannelGraph, analyze
from razor_ext.structure import load_structure

from ..codebase import architecture_config
from ..counts import count_onnx
from ..errors import DeployError
from .divisor_sweep import round_structure
from .random_export import RandomExport, export_random
from .timing import Spread, speedups, time_onnx

#: Names of the files compared, by structure and bits.
DENSE, NATIVE, PADDED = 'dense', 'native', 'padded'


def find_structure(graph: ChannelGraph, share: float, divisor: int,
                   seed: int = 0) -> dict[str, int]:
    """Draw an uneven structure, as pruning leaves one, of a share of the MACs.

    Every unit keeps a random multiple (0.75 to 1.25) of a common share of its channels, and at
    least as many as the divisor; that share is the largest at which the structure rounded to the
    divisor is within the target.

    Args:
        graph: The dense model's.
        share: Share of the MACs to keep at most, after rounding to the divisor.
        divisor: See :func:`round_structure`.
        seed: Of the draw.

    Returns:
        Channels kept by unit, before rounding.

    Raises:
        DeployError: If the share is not in (0, 1) or cannot be reached.
    """
    if not 0 < share < 1:
        raise DeployError(f'share of the MACs to keep must be in (0, 1), got {share}')
    generator = np.random.default_rng(seed)
    uneven = {unit.name: (unit.num_channels, generator.uniform(0.75, 1.25)) for unit in graph.units}

    def at(scale: float) -> dict[str, int]:
        return {name: min(max(divisor, round(scale * factor * width)), width)
                for name, (width, factor) in uneven.items()}

    def relative(scale: float) -> float:
        return graph.macs(round_structure(at(scale), divisor)) / graph.total_macs

    low, high = 0.0, 1.34
    if relative(low) > share:
        raise DeployError(f'{share:.0%} of the MACs cannot be reached with divisor {divisor}: '
                          f'{relative(low):.1%} are left at the least')
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if relative(middle) <= share else (low, middle)
    return at(low)


def compare_speed(deploy_cfg: Config, model_cfg: Config, folder: Path, share: float = 0.5,
                  divisor: int = 8, beside: Mapping[str, Config] | None = None, rounds: int = 100,
                  threads: int = 1, seed: int = 0, padded: bool = True,
                  structure: str | Mapping[str, int] | None = None) -> dict:
    """Time the dense model, a pruned one and their 8-bit integers in turns.

    Weights are random, batch normalisation is set, so that the activations are sensible: neither
    changes the time.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        model_cfg: Deploy config of a ``CompressedModel``; its ``fix_subnet`` is not read.
        folder: Where the ONNX files go.
        share: Share of the MACs that the pruned model keeps at most.
        divisor: ``native`` has channel counts of multiples of it, ``padded`` the same structure
            before rounding, filled up with zeros, as MMRazor deploys.
        beside: Other dense models to time along, by name.
        rounds: Turns.
        threads: Threads; 0 takes all cores.
        seed: Of the structure.
        padded: Also the padded one; MMRazor pads image models only.
        structure: Channels by unit or a fix_subnet.json, timed as it is; None draws one.

    Returns:
        ``files``: by name, ``macs``, ``params``, ``bytes``, ``ms`` and the factors
        ``faster_than`` each other file, as minimum, median and maximum; ``structure``: channels
        by unit.

    Raises:
        DeployError: If the config is none of a compressed model, or the share makes no sense.
    """
    if str(model_cfg.model.get('type')).rpartition('.')[2] != 'CompressedModel':
        raise DeployError(f'model of {model_cfg.filename} is a {model_cfg.model.get("type")!r}; '
                          'give the deploy config of a CompressedModel (geta_deploy_*.py)')
    exports = {DENSE: export_random(deploy_cfg, architecture_config(model_cfg), folder, DENSE)}
    dense: RandomExport = exports[DENSE]
    if structure is None:
        graph = analyze(copy.deepcopy(dense.model), {'inputs': dense.inputs, 'data_samples': None,
                                                     'mode': 'tensor'})
        structure = find_structure(graph, share, divisor, seed)
        pruned = [(NATIVE, round_structure(structure, divisor), 1)]
    else:
        structure = load_structure(structure)
        pruned = [(NATIVE, structure, 1)]
    if padded:
        pruned.append((PADDED, structure, divisor))
    for name, subnet, pad in pruned:
        config = copy.deepcopy(model_cfg)
        config.model.update(fix_subnet=subnet, divisor=pad)
        exports[name] = export_random(deploy_cfg, config, folder, name)
    for name, config in (beside or {}).items():
        exports[name] = export_random(deploy_cfg, config, folder, name)
    files = {f'{name} {"fp32" if bits == 32 else "int8"}': path
             for name, export in exports.items() for bits, path in export.files.items()}
    feed = {'input': dense.inputs[:1].numpy()}
    seconds = time_onnx(files, threads, rounds, feed=feed)
    rows = {name: {**count_onnx(path, feed),
                   'ms': Spread.of(seconds[name]).scaled(1e3).as_dict(),
                   'faster_than': {other: speedups(seconds, other)[name].as_dict()
                                   for other in files if other != name}}
            for name, path in files.items()}
    return {'files': rows, 'structure': structure, 'threads': threads, 'rounds': rounds}
