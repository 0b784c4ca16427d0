"""What one command asks for."""
from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from razor_ext.structure.activations import TARGETS

_PACKAGE = Path(__file__).parents[1]
#: Folder of `configs` and `tools`: the source tree, or what an installation has of it.
SHIPPED = _PACKAGE.parent if (_PACKAGE.parent / 'configs').is_dir() else _PACKAGE / '.mim'
SHARED = SHIPPED / 'configs' / 'pruning' / '_base_'
#: Shared config of every finetune run.
FINETUNE = 'finetune'
#: Shared configs that are no method, or one whose settings are MMRazor's own.
_NO_METHOD = (FINETUNE, 'group_fisher_mmrazor', 'post_training')
#: Method of a request that trains nothing, and those whose scores it may be told to use alone.
POST_TRAINING = 'post_training'
SCORED = ('group_fisher', 'l1', 'random', 'taylor')
#: Images that compression without training looks at, unless told otherwise.
IMAGES = 512


class RequestError(ValueError):
    """A request that cannot be carried out; says which value, and what to give."""


@dataclass(frozen=True)
class Length:
    """The length of a training.

    Attributes:
        count: how many.
        unit: 'epochs' or 'iters', as the training counts.
    """

    count: int
    unit: str = 'epochs'


@dataclass(frozen=True)
class Request:
    """A model to compress, and how.

    Args:
        config: config of the dense model: a file, or `package::path`.
        checkpoint: its weights.
        method: a file of `configs/pruning/_base_`: 'geta', 'group_fisher', 'l1', ...; without
            training POST_TRAINING, or the only scores to use.
        target: kind and share: `('macs', 0.5)`.
        bits: fewest and most bits of weights and activations; None leaves them float.
        divisor: channel counts are multiples of it.
        epochs: length of the prune run; None for that of the dense training, 0 to compress without
            training.
        finetune_epochs: length of the finetune run, 0 for none; None for `epochs`.
        iters, finetune_iters: the same for a training that is counted in iterations.
        lr_ratio: factor on the dense learning rate.
        distill: whether the compressed model learns from the dense one, in both trainings.
        activation: what smooth activations become while the prune run trains; None leaves them.
        images: images that compression without training looks at.
        mean_bits: without training, the bit operations are at most those of this width; None gives
            every layer the most bits.
        validate: test on the validation set in place of the test set.
        backend: MMDeploy's name of the backend.
        gpus: processes of a training; 0 trains in this machine's one process.
        data: the user's own data set, see `dataset_overrides`.
        image: input that the exporter traces; None for the first one of the validation set.
        options: changes to the dense config, by dotted key.
    """

    config: str
    checkpoint: str
    method: str = 'geta'
    target: tuple[str, float] = ('macs', 0.5)
    bits: tuple[int, int] | None = (4, 8)
    divisor: int = 1
    epochs: int | None = None
    finetune_epochs: int | None = None
    iters: int | None = None
    finetune_iters: int | None = None
    lr_ratio: float | None = None
    distill: bool = False
    activation: str | None = None
    images: int = IMAGES
    mean_bits: float | None = None
    validate: bool = False
    backend: str = 'onnxruntime'
    gpus: int = 0
    data: Mapping[str, str] = field(default_factory=dict)
    image: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_method()
        if not 0 < self.target[1] <= 1:
            raise RequestError(f'--target {self.target[0]}={self.target[1]}: the share to leave '
                               '(of a sparsity, to prune) lies above 0 and is at most 1')
        if {self.epochs, self.finetune_epochs} != {None} != {self.iters, self.finetune_iters}:
            raise RequestError('--epochs and --iters: give lengths in the unit of the dense '
                               'training alone')
        for name in ('epochs', 'finetune_epochs', 'iters', 'finetune_iters', 'gpus'):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise RequestError(f'--{name.replace("_", "-")} {value} is too few')
        if self.images < 2:
            raise RequestError(f'--images {self.images} is too few')
        if self.divisor < 1:
            raise RequestError(f'--divisor {self.divisor} must be 1 or more')
        if '://' not in self.checkpoint and not os.path.isfile(self.checkpoint):
            raise RequestError(f'checkpoint {self.checkpoint!r:.300} does not exist; give the '
                               'weights of the dense model, a file or an address')

    def _check_method(self) -> None:
        if self.activation is not None and self.activation not in TARGETS:
            raise RequestError(f'--activation {self.activation!r} is none of '
                               f'{", ".join(sorted(TARGETS))}')
        if self.activation is not None and not self.trains:
            raise RequestError(f'--activation {self.activation}: activations change while a run '
                               'trains, and --epochs is 0')
        if self.trains:
            if self.method not in methods():
                raise RequestError(f'--method {self.method!r} is none of {", ".join(methods())}')
            if self.mean_bits is not None:
                raise RequestError(f'--mean-bits {self.mean_bits} is for --epochs 0: a training '
                                   'chooses its bits from --bits by itself')
            return
        if self.method not in (POST_TRAINING, *SCORED):
            raise RequestError(f'--method {self.method} trains, and --epochs is 0: leave --method '
                               f'out, or give one of {", ".join(SCORED)} to prune by its scores '
                               'alone')
        if self.mean_bits is None:
            return
        if self.bits is None or not self.bits[0] <= self.mean_bits <= self.bits[1]:
            raise RequestError(f'--mean-bits {self.mean_bits} lies outside --bits')
        if self.target[0] == 'bops':
            raise RequestError(f'--mean-bits {self.mean_bits} and --target bops both say how many '
                               'bit operations there are: leave one of them out')

    @property
    def trains(self) -> bool:
        """Whether the model is compressed by a training."""
        return 0 not in (self.epochs, self.iters)

    @property
    def quantizes(self) -> bool:
        """Whether bit widths are found."""
        return self.bits is not None and (self.method == 'geta' or not self.trains)

    @property
    def length(self) -> Length | None:
        """Length of the prune run; None for that of the dense training."""
        if self.iters is not None:
            return Length(self.iters, 'iters')
        return None if self.epochs is None else Length(self.epochs)

    @property
    def finetune_length(self) -> Length | None:
        """Length of the finetune run; None for that of the dense training."""
        if self.finetune_iters is not None:
            return Length(self.finetune_iters, 'iters')
        return self.length if self.finetune_epochs is None else Length(self.finetune_epochs)

    def as_dict(self) -> dict[str, Any]:
        """Return the request in plain values, as a JSON file gives them back."""
        values = asdict(self)
        # What is not read is left out: a work directory of before knows nothing of it.
        if self.trains:
            del values['mean_bits']
            if not self.validate:
                del values['images']
        for name in ('validate', 'distill', 'activation', 'iters', 'finetune_iters'):
            if values[name] in (None, False):
                del values[name]
        return json.loads(json.dumps(values))


def methods() -> tuple[str, ...]:
    """Return the names of the algorithms that have a shared config."""
    return tuple(sorted(path.stem for path in SHARED.glob('*.py') if path.stem not in _NO_METHOD))


def parse_target(text: str) -> tuple[str, float]:
    """Read a target such as `macs=0.5`.

    Raises:
        RequestError: it has no kind, or no number.
    """
    kind, _, ratio = text.partition('=')
    try:
        return kind, float(ratio)
    except ValueError:
        raise RequestError(f'--target {text!r}: give a kind and a share, e.g. macs=0.5, params=0.3 '
                           'or sparsity=0.5') from None


def parse_bits(text: str) -> tuple[int, int] | None:
    """Read a range of bit widths such as `4-8`, one width such as `8`, or `none`.

    Raises:
        RequestError: it is none of these.
    """
    if text == 'none':
        return None
    parts: Sequence[str] = text.split('-')
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):
        raise RequestError(f"--bits {text!r}: give fewest and most bits, e.g. 4-8, one width, or "
                           "'none' to leave the model float")
    return int(parts[0]), int(parts[-1])


def parse_shares(text: str) -> list[float]:
    """Read shares such as `0.7,0.5,0.3`.

    Raises:
        RequestError: one is no share, or is given twice.
    """
    try:
        shares = [float(part) for part in text.split(',')]
    except ValueError:
        shares = []
    if not shares or len(set(shares)) < len(shares) or not all(0 < one <= 1 for one in shares):
        raise RequestError(f'--pareto {text!r}: give different shares above 0 and of at most 1, '
                           'e.g. 0.7,0.5,0.3')
    return shares
