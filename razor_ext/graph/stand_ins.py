"""Modules whose forward pass takes sizes for granted that slicing changes.

A fixer corrects the numbers that a module holds. Some modules hold none: they compute the width of
a head from the width of the stream, or a split from the channels that come in. A stand-in is a
subclass that computes the same from attributes of its own. Models are traced and proved with the
stand-ins in place; in a sliced model they stay where something below them was sliced.
"""
from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from torch import Tensor, nn

from .norms import mask_norms, plain_norms

#: Name of a stand-in's buffer of positions by which it reorders channels.
ORDER = 'channel_order'


class StandIn(nn.Module):
    """Base class of stand-ins, mixed in before the type that it stands for."""

    plain_type: Any

    @classmethod
    def fits(cls, module: nn.Module) -> bool:
        """Whether it can stand for a module of the type."""
        return True

    def prepare(self) -> None:
        """Take what it needs from the module that it has just become."""

    def leave(self) -> None:
        """Remove what `prepare` has added."""

    def heads(self) -> dict[tuple[int, ...], int]:
        """Return the shapes that it splits channels into, with the axis that is of heads."""
        return {}

    def expose(self) -> None:
        """Add what only the graph needs."""

    def conceal(self) -> None:
        """Remove what `expose` has added."""


StandInT = TypeVar('StandInT', bound=type[StandIn])
_STAND_INS: dict[str, type[StandIn]] = {}


def register_stand_in(*names: str) -> Callable[[StandInT], StandInT]:
    """Register a stand-in for module types.

    Args:
        names: 'package.module.Type', of packages that need not be installed. Subclasses with a
            forward pass of their own are left alone.
    """

    def register(stand_in: StandInT) -> StandInT:
        _STAND_INS.update(dict.fromkeys(names, stand_in))
        return stand_in

    return register


def _find(cls: Any) -> Any:
    """The stand-in of a module type, None where it has none."""
    for base in cls.__mro__:
        found = _STAND_INS.get(f'{base.__module__}.{base.__qualname__}')
        if found is not None:
            return found if cls.forward is base.forward else None
    return None


@functools.cache
def _stand_in_type(stand_in: Any, plain: Any) -> Any:
    return type(f'Sliceable{plain.__name__}', (stand_in, plain), {'plain_type': plain})


def _retype(module: Any, plain: Any) -> None:
    """Change the type of a module; a layer that is quantized over its float type stays so."""
    module.__class__ = module.over(plain) if hasattr(module, 'over') else plain


def expose(model: nn.Module) -> list[str]:
    """Put stand-ins and mask-aware norms into a model; what it computes stays the same.

    Args:
        model: Any module; layers that are quantized say so by `float_type` and `over`.

    Returns:
        Names of the modules that were replaced by stand-ins.
    """
    replaced = []
    for path, module in model.named_modules():
        plain: Any = getattr(module, 'float_type', type(module))
        stand_in = None if isinstance(module, StandIn) else _find(plain)
        if stand_in is not None and stand_in.fits(module):
            _retype(module, _stand_in_type(stand_in, plain))
            stand_in.prepare(module)
            replaced.append(path)
        if isinstance(module, StandIn):
            module.expose()
    mask_norms(model)
    return replaced


def exposed(model: nn.Module) -> nn.Module:
    """Return the model with stand-ins and mask-aware norms in it; see `expose`."""
    expose(model)
    return model


def conceal(model: nn.Module, replaced: Collection[str], sliced: Collection[str]) -> None:
    """Take out what `expose` has put in, but for the stand-ins that slicing has touched.

    Args:
        model: The model.
        replaced: What `expose` returned.
        sliced: Names of parameters and buffers that were sliced.
    """
    plain_norms(model)
    for module in model.modules():
        if isinstance(module, StandIn):
            module.conceal()
    for path in replaced:
        if not any(name.startswith(f'{path}.' if path else '') for name in sliced):
            module = model.get_submodule(path)
            assert isinstance(module, StandIn)  # it was replaced
            module.leave()
            _retype(module, module.plain_type)


def orders(model: nn.Module) -> dict[str, Tensor]:
    """Return the positions by which the stand-ins of a model reorder channels, by buffer name."""
    return {name: buffer for path, module in model.named_modules() if isinstance(module, StandIn)
            for name, buffer in module.named_buffers(path, recurse=False)
            if name.rpartition('.')[2] == ORDER}


def heads(model: nn.Module) -> dict[tuple[int, ...], int]:
    """Return `StandIn.heads` of all stand-ins of a model."""
    found: dict[tuple[int, ...], int] = {}
    for module in model.modules():
        if isinstance(module, StandIn):
            found.update(module.heads())
    return found
