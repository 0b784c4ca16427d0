"""All that a pipeline has found out, as one JSON document."""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from razor_ext.structure import load_compressed

from .comparison import Comparison


def collect(work_dir: Path, comparison: Comparison, run: Path, command: Sequence[str]
            ) -> dict[str, Any]:
    """Gather what a pipeline has left.

    Args:
        work_dir: of the pipeline, see `tools/compress.py`.
        comparison: of the dense model and the compressed one.
        run: work directory of the last training.
        command: by which it was made.

    Returns:
        Plain values: `stages` (one entry for each model), `units`, `layers`, `training`,
        `deployment`, `command`.
    """
    folder = load_compressed(run)
    channels = {unit.name: unit.num_channels for unit in folder.units}
    return {
        'title': work_dir.name, 'command': list(command),
        'stages': [_stage(comparison, index) for index in range(len(comparison.stages))],
        'units': [dict(name=name, channels=channels.get(name, kept), kept=kept)
                  for name, kept in folder.structure.items()],
        'layers': _layers(folder.quant_path),
        'training': {name: _scalars(work_dir / name) for name in ('prune', 'finetune')
                     if (work_dir / name).is_dir()},
        'deployment': {key: comparison.reports[-1].get(key) for key in (
            'parity', 'backend_parity', 'accuracy', 'quantization', 'environment')}}


def _stage(comparison: Comparison, index: int) -> dict[str, Any]:
    stage, report = comparison.stages[index], comparison.reports[index]
    return {
        'name': stage.name, 'metrics': {key: value for key, value in stage.all_metrics().items()
                                        if isinstance(value, (int, float)) and value != -1},
        'params': report['torch']['params'], 'macs': report['torch']['macs'],
        'bytes': report['onnx']['bytes'],
        'bops': comparison.bops(index),
        **{key: asdict(table[stage.name]) for key, table in (
            ('latency', comparison.latency), ('ratio', comparison.ratios)) if table}}


def _layers(quant_file: Path | None) -> list[dict[str, Any]]:
    """Return the bits of every quantized layer in the order of quant.json."""
    if quant_file is None:
        return []
    spec = json.loads(quant_file.read_text(encoding='utf-8'))
    return [dict(name=name, **{side: _bits(layer, side) for side in ('weight', 'activation')})
            for name, layer in spec['layers'].items()]


def _bits(layer: Mapping[str, Any], side: str) -> int | None:
    if side == 'weight':
        return (layer['weight'] or {}).get('bits')
    return next((operand['bits'] for operand in layer['activations'].values()), None)


def _scalars(work_dir: Path) -> list[dict[str, float]]:
    """Return what a training has logged, oldest first; of resumed runs the later value counts."""
    rows: dict[tuple, dict[str, float]] = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in path.read_text(encoding='utf-8').splitlines():
            row = json.loads(line)
            if 'step' in row:
                rows[row['step'], tuple(sorted(row))] = row
    return sorted(rows.values(), key=lambda row: row['step'])
