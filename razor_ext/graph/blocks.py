"""Group the channel ids of a finished pass into blocks, the units before they have names."""
from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from .flow import Flow
from .ids import Axis

Slot = tuple  # (leaf name, dimension)


@dataclasses.dataclass
class Block:
    """A unit before it has a name: its classes, and where each lives.

    Args:
        roots: Canonical element id of each channel.
        slots: Slot -> positions [num_channels, k]; contractions are slots named by number.
    """

    roots: np.ndarray
    slots: dict[Slot, np.ndarray]


def collect(flow: Flow, free_outputs: Mapping[int, Sequence[int]]) -> list[Block]:
    """Group the live ids of a finished pass into blocks of interchangeable channels.

    Channels belong to one block when they appear equally often in the same dimensions of the same
    leaves and of the same contractions.
    """
    ids, slots, roots, positions, owners = flow.ids, [], [], [], []
    whole: dict[Axis, list[Slot]] = {}

    def add(slot: Slot, axis: Axis) -> None:
        if not ids.live(axis):
            return
        if ids.root(axis).elements is None:  # a dimension that was never taken apart is a unit
            whole.setdefault(ids.root(axis), []).append(slot)
            return
        live = np.flatnonzero(ids.live_mask(axis))
        slots.append(slot)
        roots.append(ids.elements(axis)[live])
        positions.append(live)
        owners.append(np.full(len(live), len(slots) - 1))

    seen = set()
    for name, value in flow.leaves.items():
        for dim, axis in enumerate(value.dims):
            if axis is not None:
                add((name, dim), axis)
                seen.add(id(ids.root(axis)))
    has_leaf, whole_leaf = len(slots), set(whole)
    for i, dims in free_outputs.items():
        value = flow.values[flow.program.outputs[i]]
        for dim in dims:
            axis = value.dims[dim % len(value.shape)]
            if axis is not None:
                add((f'output.{i}', dim % len(value.shape)), axis)
    for i, contraction in enumerate(flow.contractions):
        for j, axis in enumerate(contraction.axes):
            if id(ids.root(axis)) not in seen:
                add((i, j), axis)
    blocks = [Block(ids.elements(root), {slot: np.arange(root.size)[:, None] for slot in found})
              for root, found in whole.items() if root in whole_leaf]
    if has_leaf:
        blocks += _group(slots, np.concatenate(roots), np.concatenate(positions),
                         np.concatenate(owners), has_leaf)
    return blocks


def _group(slots: list[Slot], roots: np.ndarray, positions: np.ndarray, owners: np.ndarray,
           has_leaf: int) -> list[Block]:
    """Sort (root, slot, position) triples into blocks of equal signature."""
    number_of = np.zeros(roots.max() + 1, np.int64)
    number_of[roots] = 1
    names = np.flatnonzero(number_of)
    number_of[names] = np.arange(len(names))
    roots = number_of[roots]
    touched = np.zeros(len(names), bool)
    touched[roots[owners < has_leaf]] = True
    pairs, counts = np.unique(roots * len(slots) + owners, return_counts=True)
    pair_roots, pair_slots = pairs // len(slots), pairs % len(slots)
    # A root's signature is the set of its (slot, count): one random number for each, summed.
    _, kinds = np.unique(pair_slots * (counts.max() + 1) + counts, return_inverse=True)
    codes = np.random.default_rng(0).integers(2**62, size=kinds.max() + 1, dtype=np.uint64)
    starts = np.flatnonzero(np.r_[True, np.diff(pair_roots) > 0])
    signatures = np.add.reduceat(codes[kinds], starts)
    _, block_of = np.unique(signatures, return_inverse=True)
    block_of = np.where(touched, block_of, -1)
    used = np.flatnonzero(touched[roots])  # positions ascend within a slot, and the sort is stable
    roots, positions, owners = roots[used], positions[used], owners[used]
    order = np.argsort((block_of[roots] * len(slots) + owners) * len(names) + roots, kind='stable')
    blocks, start = [], 0
    for number in np.unique(block_of[touched]):
        rows = np.flatnonzero(block_of == number)
        pair = slice(starts[rows[0]], starts[rows[0] + 1] if rows[0] + 1 < len(starts) else None)
        table: dict[Slot, np.ndarray] = {}
        for slot, count in zip(pair_slots[pair].tolist(), counts[pair].tolist()):
            stop = start + len(rows) * count
            if (owners[order[start:stop]] != slot).any():
                raise AssertionError('channels of one unit lie in different dimensions')
            table[slots[slot]] = positions[order[start:stop]].reshape(len(rows), count)
            start = stop
        blocks.append(Block(names[rows], table))
    return blocks
