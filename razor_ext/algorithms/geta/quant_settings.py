"""The `quant` setting of GETA."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from razor_ext.quantization import QuantConfig
from razor_ext.quantization.config import MAX_BITS, MIN_BITS

#: Bits that the ceiling of every quantizer starts from.
START_BITS = 16


def read_quant(quant: Mapping[str, Any] | None, target: Mapping[str, Any] | None
               ) -> tuple[QuantConfig | None, int, float | None]:
    """Return what is quantized, the bits to start from, and the mean width to end at.

    Args:
        quant: arguments of `QuantConfig`, `start_bits` and `mean_bits`; None for a float model.
        target: of pruning.

    Raises:
        ValueError: an unknown key, a bad width, or two settings of what bits may cost.
        QuantConfigError: a bad argument of `QuantConfig`.
    """
    if quant is None:
        return None, START_BITS, None
    options = dict(quant)
    start, mean = options.pop('start_bits', START_BITS), options.pop('mean_bits', None)
    known = QuantConfig.__dataclass_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f'quant has the unknown keys {unknown}; known: start_bits, mean_bits, '
                         f'{", ".join(known)}')
    if mean is not None:
        if isinstance(mean, bool) or not isinstance(mean, (int, float)) \
                or not MIN_BITS <= mean <= MAX_BITS:
            raise ValueError(f'quant.mean_bits={mean!r} must lie in [{MIN_BITS}, {MAX_BITS}]')
        if target is not None and target.get('kind') == 'bops':
            raise ValueError(f"quant.mean_bits={mean} and target kind='bops' both say what the "
                             'bit widths may cost: keep one of them')
    return QuantConfig(**options), start, mean
