"""Channel counts that are multiples of a divisor."""
from __future__ import annotations

from collections.abc import Mapping

from .fix_subnet import StructureError


def check_divisor(divisor: int, num_channels: Mapping[str, int]) -> None:
    """Refuse a divisor that some unit could only meet by growing.

    Args:
        divisor: the divisor of the channel counts.
        num_channels: unit names and their channels before pruning.

    Raises:
        StructureError: the divisor is no positive integer, or larger than a unit.
    """
    if isinstance(divisor, bool) or not isinstance(divisor, int) or divisor < 1:
        raise StructureError(f'divisor must be a positive integer, got {divisor!r}')
    small = {name: count for name, count in num_channels.items() if count < divisor}
    if small:
        name, count = next(iter(small.items()))
        raise StructureError(
            f'divisor {divisor} is larger than unit {name!r} with its {count} channels '
            f'({len(small)} such units); use at most {min(num_channels.values())}')
