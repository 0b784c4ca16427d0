"""Whole bit widths under a budget of bit operations: each bit goes where it spares most loss.

A quantizer whose rounding changes the loss by s at b bits is taken to change it by s / 4 at one bit
more, since the step is half as wide and the change is of second order in it.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from razor_ext.quantization.accounting import FLOAT_BITS

#: Multiply-accumulates, and the numbers of both sides' quantizers, None for a float side.
Product = tuple[float, Optional[int], Optional[int]]


def bit_operations(products: Sequence[Product], bits: Sequence[float]) -> float:
    """Return the bit operations of products at the bit widths of their quantizers."""
    return sum(macs * (FLOAT_BITS if left is None else bits[left])
               * (FLOAT_BITS if right is None else bits[right]) for macs, left, right in products)


def allocate(ranges: Sequence[tuple[int, int]], products: Sequence[Product],
             losses: Sequence[float], budget: float) -> list[int]:
    """Return the bits of each quantizer, as many as the budget allows.

    Every quantizer starts at its fewest bits; the bit that spares most loss for its price is
    bought next, until none can be afforded. One that takes part in no product is free.

    Args:
        ranges: Fewest and most bits of each.
        products: Every product of the structure.
        losses: Change of the loss by the rounding of each, at 0 bits; see the module.
        budget: Largest number of bit operations.

    Raises:
        ValueError: The budget is not kept at the fewest bits.

    Example:
        >>> allocate([(4, 8), (4, 8)], [(100, 0, None), (100, 1, None)], [9., 1.], 100 * 32 * 10)
        [6, 4]
    """
    bits = [fewest for fewest, _ in ranges]
    spent = bit_operations(products, bits)
    if spent > budget:
        raise ValueError(f'{spent:g} bit operations are left with every quantizer at its fewest '
                         f'bits, {budget:g} are allowed')
    partners: list[list[tuple[float, int | None]]] = [[] for _ in ranges]
    for macs, left, right in products:
        for side, other in ((left, right), (right, left)):
            if side is not None:
                partners[side].append((macs, other))

    def price(number: int) -> float:
        return sum(macs * (FLOAT_BITS if other is None else bits[other])
                   for macs, other in partners[number])

    while True:
        offers = [(losses[number] * 4. ** -bits[number] / max(price(number), 1e-30), -number)
                  for number, (_, most) in enumerate(ranges)
                  if bits[number] < most and spent + price(number) <= budget]
        if not offers:
            return bits
        best = -max(offers)[1]
        spent += price(best)
        bits[best] += 1
