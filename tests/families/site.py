"""The toy family as an installation would leave it."""
from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from razor_ext.engine.families import load_families

HERE = Path(__file__).parent


def declare(site: Path, distribution: str, entry_point: str) -> None:
    """Write the metadata of a distribution that declares one family, as an installer does."""
    folder = site / f'{distribution}-1.0.dist-info'
    folder.mkdir(parents=True)
    (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n')
    (folder / 'entry_points.txt').write_text(f'[razor_ext.families]\n{entry_point}\n')


def write_toy_site(site: Path) -> None:
    """Write the toy family and its metadata into a folder of packages."""
    declare(site, 'toy-family', 'toy = toy_family.family:FAMILY')
    shutil.copytree(HERE / 'toy_family', site / 'toy_family',
                    ignore=shutil.ignore_patterns('__pycache__'))


@contextmanager
def install_toy(site: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the toy family installed in this process; what it registers stays."""
    write_toy_site(site)
    patch.syspath_prepend(site)
    load_families.cache_clear()
    try:
        states = {record.name: record.state for record in load_families()}
        assert states['toy'] == 'loaded', states
        yield
    finally:
        patch.undo()
        load_families.cache_clear()
