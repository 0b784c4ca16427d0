"""Unit names as MMRazor makes them."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .blocks import Block
from .flow import Flow


def name_blocks(flow: Flow, blocks: Sequence[Block]) -> list[tuple[str, Block]]:
    """Name blocks and put them, and their channels, in the order of the producing parameters.

    The name is `<module>_(start, end)_<num_channels>`: the module whose weight first produces the
    channels in execution order and the range of its outputs they lie in. A raw parameter gives its
    own name. A second block of the same name gets the suffix `#2`.

    Returns:
        (name, block) in execution order.
    """
    rank: dict[tuple, int] = {}
    for contraction in flow.contractions:
        if contraction.producer is not None:
            rank.setdefault(contraction.producer, len(rank))
    for leaf, value in flow.leaves.items():
        for dim in range(len(value.shape)):
            rank.setdefault((leaf, dim), len(rank))
    keyed = []
    for block in blocks:
        slot = min((slot for slot in block.slots if slot in rank), key=lambda slot: rank[slot])
        indices = block.slots[slot]
        order = np.argsort(indices[:, 0], kind='stable')
        if (order[1:] < order[:-1]).any():
            block = Block(block.roots[order],
                          {key: rows[order] for key, rows in block.slots.items()})
        keyed.append((rank[slot], int(indices.min()), slot[0], int(indices.max()) + 1, block))
    keyed.sort(key=lambda item: item[:2])
    named: list[tuple[str, Block]] = []
    taken: dict[str, int] = {}
    for _, start, leaf, stop, block in keyed:
        module, _, last = leaf.rpartition('.')
        owner = module if module and last == 'weight' else leaf
        name = f'{owner}_({start}, {stop})_{len(block.roots)}'
        taken[name] = taken.get(name, 0) + 1
        named.append((name if taken[name] == 1 else f'{name}#{taken[name]}', block))
    return named
