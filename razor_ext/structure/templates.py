"""Units of the dependency graph as MMRazor's mutators describe theirs."""
from __future__ import annotations

from collections.abc import Iterable

from razor_ext.graph import ChannelUnit


def choice_template(units: Iterable[ChannelUnit]) -> dict[str, int]:
    """Return the channels of every unit before pruning, the form of fix_subnet.json."""
    return {unit.name: unit.num_channels for unit in units}


def config_template(units: Iterable[ChannelUnit], with_channels: bool = False,
                    with_unit_init_args: bool = False) -> dict[str, dict]:
    """Describe units, in the form that MMRazor's mutators have.

    Args:
        units: the units.
        with_channels: with the parameters of every unit.
        with_unit_init_args: with the number of channels.
    """
    template: dict[str, dict] = {}
    for unit in units:
        entry = template[unit.name] = {}
        if with_unit_init_args:
            entry['init_args'] = dict(num_channels=unit.num_channels)
        if with_channels:
            entry['channels'] = {
                f'{key}_related': [dict(name=m.name, dim=m.dim) for m in unit.members
                                   if m.role == role]
                for key, role in (('output', 'out'), ('input', 'in'))}
    return template
