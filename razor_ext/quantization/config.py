"""What to quantize and how, as a dataclass that checks itself."""
from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.logging import print_log

from .errors import QuantConfigError

#: Limits of a learnable grid: float32 scales hold 16-bit grids exactly, not wider ones.
MIN_BITS, MAX_BITS = 2, 16
GRANULARITIES = ('tensor', 'channel')
ACTIVATION_SCHEMES = ('auto', 'signed', 'unsigned', 'affine')

BitLimits = tuple[int, int]


@dataclass(frozen=True)
class LayerConfig:
    """How one layer is quantized.

    Args:
        weight_bits: fewest and most bits of weights; None leaves weights float.
        activation_bits: fewest and most bits of inputs; None leaves inputs float.
        weight_granularity: one step per 'tensor' or per output 'channel'.
        activation_scheme: 'signed', 'unsigned' (the input cannot be negative), 'affine' (with a
            zero point), or 'auto': unsigned if calibration saw no negative value, affine otherwise.
        weight_power: learn the exponent t of weights. Stored weights pay nothing for it.
        activation_power: learn the exponent t of inputs. It has no cheap integer form, so that
            such a layer deploys in floating point; needs the 'signed' or 'unsigned' scheme.
        lsq_grad_scale: scale the gradients of the steps by 1 / sqrt(N * L), as LSQ does.
    """

    weight_bits: BitLimits | None = (4, 16)
    activation_bits: BitLimits | None = (4, 16)
    weight_granularity: str = 'tensor'
    activation_scheme: str = 'auto'
    weight_power: bool = True
    activation_power: bool = False
    lsq_grad_scale: bool = True

    def __post_init__(self) -> None:
        for key in ('weight_bits', 'activation_bits'):
            object.__setattr__(self, key, _limits(key, getattr(self, key)))
        _choice('weight_granularity', self.weight_granularity, GRANULARITIES)
        _choice('activation_scheme', self.activation_scheme, ACTIVATION_SCHEMES)
        for key in ('weight_power', 'activation_power', 'lsq_grad_scale'):
            if not isinstance(getattr(self, key), bool):
                raise QuantConfigError(f'{key}={getattr(self, key)!r} must be True or False')
        if self.activation_power and self.activation_scheme not in ('signed', 'unsigned'):
            raise QuantConfigError(
                "activation_power=True needs activation_scheme='signed' or 'unsigned', got "
                f'{self.activation_scheme!r}: an exponent has no zero point')


@dataclass(frozen=True)
class QuantConfig(LayerConfig):
    """How a model is quantized.

    Args:
        layers: exact dotted layer name to the settings of `LayerConfig` that differ there.
        float_layers: exact dotted layer name to the reason why it stays float.
        products: quantize products of two activations: `nn.MultiheadAttention`, and the modules
            that `find_products` names. Layers registered for their own products (RTMPose's gated
            attention unit) are layers like any other.
        embeddings: quantize the weights of `nn.Embedding`.

    Raises:
        QuantConfigError: a value out of range, an unknown key, or a layer listed both ways.

    Example:
        >>> QuantConfig(weight_bits=(4, 8), activation_bits=(8, 8),
        ...             layers={'backbone.stem.0.conv': {'weight_bits': (8, 8)}},
        ...             float_layers={'head.final_layer': 'feeds the loss'})
    """

    layers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    float_layers: Mapping[str, str] = field(default_factory=dict)
    products: bool = True
    embeddings: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ('products', 'embeddings'):
            if not isinstance(getattr(self, key), bool):
                raise QuantConfigError(f'{key}={getattr(self, key)!r} must be True or False')
        for name, reason in self.float_layers.items():
            if not isinstance(reason, str) or not reason:
                raise QuantConfigError(f'float_layers[{name!r}]={reason!r} must state a reason')
            if name in self.layers:
                raise QuantConfigError(f'{name!r} is in both layers and float_layers; keep one')
        for name in self.layers:
            self.for_layer(name)
        if self.weight_bits is None and self.activation_bits is None and not self.layers:
            raise QuantConfigError('weight_bits and activation_bits are both None: nothing would '
                                   'be quantized; set one of them')
        if self.activation_power:
            print_log('activation_power=True: these layers have no integer form and deploy in '
                      'floating point', logger='current', level=30)

    def for_layer(self, name: str) -> LayerConfig:
        """Return the settings of one layer."""
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(LayerConfig)}
        own = self.layers.get(name, {})
        for key in own:
            if key not in shared:
                raise QuantConfigError(
                    f'layers[{name!r}] has the unknown key {key!r}{closest(key, shared)}')
        try:
            return LayerConfig(**{**shared, **own})
        except QuantConfigError as error:
            raise QuantConfigError(f'layers[{name!r}]: {error}') from error


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the most similar known name, for error messages."""
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
    return f'; did you mean {match[0]!r}?' if match else ''


def _limits(key: str, value: Any) -> BitLimits | None:
    if value is None:
        return None
    if (not isinstance(value, (tuple, list)) or len(value) != 2
            or any(isinstance(b, bool) or not isinstance(b, int) for b in value)):
        raise QuantConfigError(f'{key}={value!r} must be two integers (fewest, most) or None')
    low, high = value
    if not MIN_BITS <= low <= high <= MAX_BITS:
        raise QuantConfigError(
            f'{key}={value!r}: need {MIN_BITS} <= fewest <= most <= {MAX_BITS}')
    return low, high


def _choice(key: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise QuantConfigError(f'{key}={value!r} is none of {known}')
