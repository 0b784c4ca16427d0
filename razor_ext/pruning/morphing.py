"""Activations that change into cheaper ones while a run trains."""
from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Union, cast

from torch import nn

from razor_ext.structure.activations import TARGETS, check_target, replace_module
from razor_ext.structure.fix_subnet import StructureError
from razor_ext.structure.morphed_activation import MorphedActivation

from .errors import TargetMissedError

#: Activations that `where='all'` finds; by a name any module without weights can be given.
SMOOTH = ('SiLU', 'Swish', 'Hardswish', 'HSwish', 'GELU', 'Mish')


class Morphing:
    """Exchanges activations of a model, step by step.

    Args:
        to: name of what they become.
        where: exact names of activations, or 'all' for every SiLU, Hardswish, GELU and Mish.
        begin, end: shares of the run between which they change, evenly.

    Raises:
        ValueError: an unknown activation, or a span outside of the run.
    """

    def __init__(self, to: str = 'ReLU', where: Union[str, Sequence[str]] = 'all',
                 begin: float = 0.02, end: float = 0.1) -> None:
        check_target('activation.to', to)
        if isinstance(where, str) and where != 'all':
            raise ValueError(f"activation.where={where!r} must be 'all' or a list of names")
        if not 0 <= begin <= end < 1:
            raise ValueError(f'activation.begin={begin!r} and end={end!r} must be ascending shares '
                             'of the run, the last below 1')
        self.to, self.where, self.begin, self.end = to, where, begin, end

    def place(self, model: nn.Module) -> dict[str, str]:
        """Put mixes in the place of the activations, in place.

        They are what they become until the first step, so that ranges are calibrated for that.

        Args:
            model: the dense model.

        Returns:
            Name of each -> what it becomes.

        Raises:
            ValueError: there is no such activation, or one has weights.
        """
        names = self._names(model)
        for name in names:
            replace_module(model, name, MorphedActivation(model.get_submodule(name), self.to))
        return dict.fromkeys(names, self.to)

    def _names(self, model: nn.Module) -> list[str]:
        modules = dict(model.named_modules())
        if self.where == 'all':
            names = [name for name, module in modules.items() if type(module).__name__ in SMOOTH
                     and not isinstance(module, TARGETS[self.to])]
            if not names:
                raise ValueError(f'activation: the model has none of {", ".join(SMOOTH)}; leave '
                                 '`activation` out, or name modules by activation.where')
            return names
        for name in self.where:
            if name not in modules:
                raise ValueError(f'activation.where: the model has no module {name!r}; names are '
                                 'exact, as model.named_modules() has them')
            if any(True for _ in modules[name].parameters()) or isinstance(
                    modules[name], nn.modules.batchnorm._NormBase):
                raise ValueError(f'activation.where: {name!r} is a {type(modules[name]).__name__} '
                                 'with weights, no activation')
        return list(self.where)

    def mix_at(self, iteration: int, max_iters: int) -> float:
        """Return the share of what they become at an iteration."""
        begin, end = self.begin * max_iters, self.end * max_iters
        if iteration >= end:
            return 1.0
        return max(0.0, (iteration - begin) / (end - begin))

    def step(self, mixes: Iterable[MorphedActivation], iteration: int, max_iters: int) -> None:
        """Set the mixes of a model for an iteration."""
        mix = self.mix_at(iteration, max_iters)
        for module in mixes:
            module.set_mix(mix)


def mixes_of(model: nn.Module, names: Iterable[str]) -> list[MorphedActivation]:
    """Return the mixes of a model under the names that `Morphing.place` has given."""
    return [cast(MorphedActivation, model.get_submodule(name)) for name in names]


def morphed(model: nn.Module) -> dict[str, MorphedActivation]:
    """Return the mixes of a model by name."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, MorphedActivation)}


def settle(model: nn.Module) -> None:
    """Replace mixes by what they have become, in place.

    Raises:
        TargetMissedError: they are not there yet.
    """
    for name, module in morphed(model).items():
        if not module.finished:
            raise TargetMissedError(
                f'activation {name!r} is {float(module.mix):.0%} {module.becomes} only: the run '
                'was stopped while activations change (see activation.end); resume it, or take a '
                'later checkpoint')
        replace_module(model, name, copy.deepcopy(module.after))


def build_morphing(config: Mapping[str, Any] | None) -> Morphing | None:
    """Make the `activation` of an algorithm's config.

    Raises:
        ValueError: an unknown key or value.
    """
    if config is None:
        return None
    known = ('to', 'where', 'begin', 'end')
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise ValueError(f'activation has the unknown keys {unknown}; known: {", ".join(known)}')
    try:
        return Morphing(**config)
    except StructureError as error:
        raise ValueError(str(error)) from error
