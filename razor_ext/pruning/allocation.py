"""Structures that follow from a cost alone, without scores."""
from __future__ import annotations

from .chooser import Chooser, Cost


def uniform_structure(chooser: Chooser, cost: Cost, limit: float) -> dict[str, int]:
    """Keep the same share of every unit, as much as the limit allows.

    What divisors leave over goes to the first units.

    Args:
        chooser: Units and their allowed widths.
        cost: Figure of a structure, from channels kept by unit; must not rise when channels go.
        limit: Largest allowed cost.

    Returns:
        Channels kept by unit.

    Raises:
        ValueError: The limit is not reached with every unit at its floor.

    Example:
        >>> uniform_structure(Chooser(['a', 'b'], [8, 4]), lambda kept: kept['a'] + kept['b'], 6)
        {'a': 4, 'b': 2}
    """
    widths = {name: sorted(int(size - lost) for lost in options)
              for name, size, options in zip(chooser.names, chooser.sizes, chooser.options)}

    def at(share: float) -> dict[str, int]:
        return {name: max([kept for kept in allowed if kept <= share * allowed[-1] + 1e-6],
                          default=allowed[0]) for name, allowed in widths.items()}

    least = cost(chooser.smallest)
    if least > limit:
        raise ValueError(f'a cost of {limit:g} is beyond reach: with every unit at its floor '
                         f'{least:g} is left')
    shares = sorted({0.} | {kept / allowed[-1] for allowed in widths.values() for kept in allowed})
    low, high = 0, len(shares) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if cost(at(shares[middle])) <= limit:
            low = middle
        else:
            high = middle - 1
    found = at(shares[low])
    for name, allowed in widths.items():
        wider = [kept for kept in allowed if kept > found[name]]
        if wider and cost({**found, name: wider[0]}) <= limit:
            found[name] = wider[0]
    return found
