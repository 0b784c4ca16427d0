"""The integers that a backend computes."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import DeployError
from ..integers.quantized import IntegerForm


@dataclass(frozen=True)
class IntegerSupport:
    """Integers that a backend computes as trained.

    Args:
        form: How they are written into the ONNX file.
        weight_bits: Most bits of weights.
        activation_bits: Most bits of activations.
    """

    form: IntegerForm
    weight_bits: int
    activation_bits: int

    def most_bits(self, side: str) -> int:
        """Most bits of ``weights`` or ``activations``."""
        return {'weights': self.weight_bits, 'activations': self.activation_bits}[side]

    def check(self, backend: str, spec: Mapping, others: Mapping[str, IntegerSupport]) -> None:
        """Refuse grids that are not computed as trained.

        Args:
            backend: Name of the backend.
            spec: Content of quant.json.
            others: What backends compute, by name.

        Raises:
            DeployError: Naming the first layer that does not fit.
        """
        for name, layer in spec['layers'].items():
            sides = [('activations', grid['bits']) for grid in layer['activations'].values()]
            if layer['weight'] is not None:
                sides.append(('weights', layer['weight']['bits']))
            for side, bits in sides:
                if bits > self.most_bits(side):
                    wider = [other for other, support in others.items()
                             if bits <= support.most_bits(side)]
                    raise DeployError(
                        f'{side} of layer {name!r} have {bits} bits, {backend} computes at most '
                        f'{self.most_bits(side)}; train with a narrower range'
                        + (f', or deploy for {", ".join(wider)}' if wider else ''))
        self.form.check(spec)
