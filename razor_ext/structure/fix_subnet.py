"""fix_subnet.json: MMRazor's flat `{unit name: channels kept}`, read strictly, written whole."""
from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path

from mmengine.logging import print_log

from razor_ext.engine.atomic import write_json
from razor_ext.engine.json_file import JsonError, read_json


class StructureError(ValueError):
    """A structure file that cannot be used: the message names the value and what to do."""


def load_structure(source: str | os.PathLike | Mapping) -> dict[str, int]:
    """Read a pruning structure.

    Args:
        source: path of a `fix_subnet.json`, or the mapping itself.

    Returns:
        Unit names and the number of channels each keeps.

    Raises:
        StructureError: the file is missing, is no JSON, or holds anything but positive integers.
    """
    if isinstance(source, Mapping):
        content, place = dict(source), 'fix_subnet'
    else:
        place = str(source)
        if not Path(source).is_file():
            raise StructureError(
                f'structure file {place!r} does not exist; a run writes fix_subnet.json into the '
                'folder `compressed` of its work directory, point `fix_subnet` at that file')
        try:
            content = read_json(source)
        except JsonError as error:
            raise StructureError(f'structure file {place!r} is not valid JSON ({error}); '
                                 'it is corrupt, write it again with a finetune run') from error
    if not isinstance(content, dict):
        raise StructureError(f'{place}: expected a mapping of unit names to channel counts, '
                             f'got {type(content).__name__}')
    for name, count in content.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise StructureError(f'{place}: unit {name!r:.200} keeps {count!r:.80} channels; '
                                 'a positive integer is needed')
    return content


def check_structure(structure: Mapping[str, int], num_channels: Mapping[str, int]) -> None:
    """Refuse a structure that was made for another model.

    Args:
        structure: unit names and channels kept.
        num_channels: the model's unit names and their channels before pruning.

    Raises:
        StructureError: a unit is unknown, or keeps more channels than it has.
    """
    for name, kept in structure.items():
        if name not in num_channels:
            close = difflib.get_close_matches(name[:200], num_channels, n=1, cutoff=0.0)
            hint = f'; the closest unit is {close[0]!r}' if close else ''
            raise StructureError(
                f'fix_subnet names unit {name!r:.200}, which this model does not have{hint}. '
                'List the units with tools/get_channel_units.py; the file may belong to '
                'another model')
        if kept > num_channels[name]:
            raise StructureError(f'fix_subnet keeps {kept!r:.80} channels of unit {name!r}, '
                                 f'which has only {num_channels[name]}')


def dump_structure(structure: Mapping[str, int], path: str | os.PathLike) -> None:
    """Write a structure file atomically and say where.

    Args:
        structure: unit names and channels kept.
        path: the file to write.
    """
    write_json(path, dict(structure))
    print_log(f'pruning structure of {len(structure)} units written to {path}', logger='current')
