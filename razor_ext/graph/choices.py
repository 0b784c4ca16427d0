"""Choices of channels to prove units with."""
from __future__ import annotations

from collections.abc import Sequence

import torch

from .evidence import LEAST, MOST
from .units import ChannelUnit


def choose(units: Sequence[ChannelUnit], shares: Sequence[float], seed: int,
           where: str = 'random') -> dict[str, torch.Tensor]:
    """Choose channels of each unit.

    Args:
        units: The units.
        shares: Share of each unit's channels to remove; at least one goes and one stays, but a
            share of 0 leaves the unit out.
        seed: Seed of the choice.
        where: 'random' channels go, or the 'first' ones, which moves all others, or the 'last'.

    Returns:
        Unit name -> Boolean mask of the channels that stay.
    """
    generator = torch.Generator().manual_seed(seed)
    keep = {}
    for unit, share in zip(units, shares):
        order = torch.randperm(unit.num_channels, generator=generator)
        if where != 'random':
            order = torch.arange(unit.num_channels)
            order = order.flip(0) if where == 'last' else order
        lost = min(unit.num_channels - 1, max(1, round(unit.num_channels * share)))
        mask = torch.ones(unit.num_channels, dtype=torch.bool)
        mask[order[:lost]] = False
        if share > 0:
            keep[unit.name] = mask
    return keep


def uneven_choice(units: Sequence[ChannelUnit], seed: int, start: float
                  ) -> dict[str, torch.Tensor]:
    """Choose channels at random, between a quarter and three quarters of each unit.

    Args:
        units: The units.
        seed: Seed of the choice.
        start: Where between the two, from 0 to 1, the share of the first unit lies; the next ones
            step by the golden ratio, so that those that come close are far apart.
    """
    return choose(units, [LEAST + (MOST - LEAST) * ((start + 0.618033988749895 * i) % 1)
                          for i in range(len(units))], seed)


def telling_choices(units: Sequence[ChannelUnit]) -> list[dict[str, torch.Tensor]]:
    """Choices of channels under which sizes that Python code holds show.

    Units lose different shares, so that counts which happen to be equal are not taken for equal
    ones: those that come close in the first choice are far apart in the second, which steps by the
    golden ratio. The third removes what the second keeps, so that every channel is removed once.
    The fourth leaves every other unit whole.
    """
    count = len(units)
    even = [(i + 0.5) / count for i in range(count)]
    random = uneven_choice(units, seed=1, start=0.3)
    return [choose(units, even, seed=0, where='first'), random,
            {name: ~mask for name, mask in random.items()},
            choose(units, [0.5 * (i % 2) for i in range(count)], seed=2, where='last')]
