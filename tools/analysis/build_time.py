"""Time to build a compressed model: from a structure file, and from a compressed folder."""
from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope

import razor_ext  # noqa: F401  repairs of upstream come before its import


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of a dense model, a file or `mmpose::...`')
    parser.add_argument('--rounds', type=int, default=3, help='builds of each kind (default: 3)')
    return parser.parse_args()


def fastest(build: Callable[[], object], rounds: int) -> str:
    """Return the least wall and CPU seconds of several builds, as text."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        build()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return '{:.2f} s, {:.2f} s of CPU'.format(*map(min, zip(*times)))


def main() -> None:
    """Halve every unit of the model, write the folder, and time both builds."""
    from mmrazor.registry import MODELS

    from razor_ext.structure import write_compressed
    from razor_ext.structure.rebuild import find_units, slice_structure
    args = parse_args()
    cfg = get_config(args.config) if '::' in args.config else Config.fromfile(args.config)
    scope = cfg.get('default_scope', 'mmengine')
    init_default_scope(scope)
    architecture = {'_scope_': scope, **cfg.model}
    dense = revert_sync_batchnorm(MODELS.build(architecture))
    units = find_units(dense)
    structure = {unit.name: max(1, unit.num_channels // 2) for unit in units}
    files = dict(type='mmrazor.CompressedModel', architecture=architecture, fix_subnet=structure)
    cfg.model = files
    with tempfile.TemporaryDirectory() as folder:
        write_compressed(slice_structure(dense, structure, units), structure, folder, config=cfg,
                         units=units)
        weights = str(Path(folder) / 'compressed.pth')
        for name, model in (('structure file', {**files, 'checkpoint': weights}),
                            ('compressed folder', dict(type=files['type'], compressed=folder))):
            seconds = fastest(lambda config=model: MODELS.build(config), args.rounds)
            print(f'{name}: {seconds}')


if __name__ == '__main__':
    main()
