"""The images that compression without training looks at."""
from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.utils import _pytree as pytree

#: Share of the images, the last ones, that variants are chosen on.
_HELD = 0.25
#: Largest activation of all images together, in elements, that a pass over them may make.
_ELEMENTS = 60_000_000


class TooFewImagesError(ValueError):
    """Nothing can be fitted and judged on so few images; says how many there are."""


@dataclass(frozen=True)
class Samples:
    """Batches, prepared for the model.

    Attributes:
        fit: what scores, ranges and weights are found on.
        held: what variants are chosen on.
    """

    fit: Sequence[dict[str, Any]]
    held: Sequence[dict[str, Any]]

    @property
    def images(self) -> int:
        """Number of all images."""
        return sum(len(batch['inputs']) for batch in (*self.fit, *self.held))


@torch.no_grad()
def collect_samples(loader: Iterable[Any], model: BaseModel, images: int) -> Samples:
    """Take the first images of a training loader.

    Args:
        loader: gives batches as training takes them, labels included.
        model: whose data preprocessor prepares them.
        images: how many, at least; whole batches are taken.

    Returns:
        About three quarters to fit on, and one to choose on.

    Raises:
        TooFewImagesError: there are fewer than two batches.
    """
    batches: list[dict[str, Any]] = []
    count = 0
    for batch in loader:
        data = model.data_preprocessor(batch, True)
        if not isinstance(data, Mapping):
            raise TypeError(f'the data preprocessor returns a {type(data).__name__}; a mapping '
                            'with inputs and data_samples is needed')
        batches.append(dict(data))
        count += len(data['inputs'])
        if count >= images:
            break
    held = max(1, round(len(batches) * _HELD))
    if len(batches) < 2:
        raise TooFewImagesError(f'{count} images are {len(batches)} batch: give two batches at '
                                'least, by more images or a smaller train_dataloader.batch_size')
    return Samples(batches[:-held], batches[-held:])


def stacked(batches: Sequence[dict[str, Any]], most: int) -> dict[str, Any]:
    """Join batches to one, as far as their shapes agree.

    Args:
        batches: of `Samples`.
        most: largest number of images; one batch is taken in any case.
    """
    first = batches[0]
    taken, count = [first], len(first['inputs'])
    for batch in batches[1:]:
        if count + len(batch['inputs']) > most or _shapes(batch) != _shapes(first):
            break
        taken.append(batch)
        count += len(batch['inputs'])

    def join(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Tensor):
            return torch.cat(list(values))
        if isinstance(values[0], (list, tuple)):
            return [item for value in values for item in value]
        return values[0]

    return {key: join([batch[key] for batch in taken]) for key in first}


def _shapes(batch: Mapping[str, Any]) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape[1:]) for key in ('inputs', ) if key in batch
            for leaf in pytree.tree_flatten(batch[key])[0] if isinstance(leaf, Tensor)]


@torch.no_grad()
def images_at_once(model: nn.Module, batch: Mapping[str, Any]) -> int:
    """Return how many images a pass may take, by the largest activation of one batch."""
    largest = 1

    def look(module: nn.Module, args: tuple, output: Any) -> None:
        nonlocal largest
        for leaf in pytree.tree_flatten(output)[0]:
            if isinstance(leaf, Tensor):
                largest = max(largest, leaf.numel())

    hooks = [module.register_forward_hook(look) for module in model.modules()]
    try:
        outputs(model, batch)
    finally:
        for hook in hooks:
            hook.remove()
    return max(1, _ELEMENTS * len(batch['inputs']) // largest)


def outputs(model: nn.Module, batch: Mapping[str, Any]) -> list[Tensor]:
    """Return the output tensors of a model for a batch."""
    found = pytree.tree_flatten(model(**batch, mode='tensor'))[0]
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def task_loss(model: Any, batch: Mapping[str, Any]) -> Tensor:
    """Return the loss of the task for a batch, a scalar."""
    return model.parse_losses(model(**batch, mode='loss'))[0]


@torch.no_grad()
def held_loss(model: nn.Module, samples: Samples) -> float:
    """Return the mean loss of a model, in evaluation mode, over the images to choose on."""
    model.eval()
    return sum(float(task_loss(model, batch)) for batch in samples.held) / len(samples.held)
