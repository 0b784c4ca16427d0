"""Make a sliced model compute what the dense one does, layer by layer, in one pass."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .least_squares import fit_weight
from .rows import LayerRows, rows_of

#: Rows of a layer that its fit sees, at least; more where it has many inputs.
ROWS = 8192
_ROWS_PER_INPUT = 4
#: Rows by which a layer is shown to be the map that it is taken for, and how nearly.
_SHOWN, _NEAR = 64, 1e-3

Run = Callable[[nn.Module], Any]
#: Name of a parameter, and one of its dimensions.
Slot = tuple[str, int]


@dataclass(frozen=True)
class _Seen:
    """Output of a layer of the dense model: places, rows [..., N, O] there, and its shape."""

    places: Tensor
    rows: Tensor
    shape: torch.Size


@dataclass
class Teacher:
    """Outputs of the layers of the dense model, at places drawn once.

    Attributes:
        layers: by name, of those that are called once.
        norms: names of the batch norms that are called once.
    """

    layers: dict[str, _Seen] = field(default_factory=dict)
    norms: set[str] = field(default_factory=set)


@torch.no_grad()
def watch_dense(model: nn.Module, run: Run, seed: int = 0) -> Teacher:
    """Run the dense model and keep what its layers return.

    Args:
        model: in evaluation mode.
        run: runs a model on all images at once.
        seed: of the places.

    Returns:
        What `reconstruct` fits to.
    """
    generator = torch.Generator().manual_seed(seed)
    calls: Counter[str] = Counter()
    teacher, hooks = Teacher(), []
    uses = Counter(id(parameter) for module in model.modules()
                   for parameter in module.parameters(recurse=False))

    def layer_hook(name: str, rows: LayerRows) -> Callable:
        def look(module: Any, args: tuple, output: Tensor) -> None:
            calls[name] += 1
            if not args or not rows.returns(args[0], output.shape):
                return
            inputs = rows.weight().shape[-1]
            places = rows.draw(output, max(ROWS, _ROWS_PER_INPUT * inputs), generator)
            if _is_the_map(rows, args[0], output, places):
                teacher.layers[name] = _Seen(places, rows.outputs(output, places), output.shape)
        return look

    for name, module in model.named_modules():
        rows = rows_of(module)
        if rows is not None and 'weight' in module._parameters and uses[id(module.weight)] == 1:
            hooks.append(module.register_forward_hook(layer_hook(name, rows)))
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            hooks.append(module.register_forward_hook(
                lambda *_, name=name: calls.update([name])))
            teacher.norms.add(name)
    try:
        run(model)
    finally:
        for hook in hooks:
            hook.remove()
    teacher.layers = {name: seen for name, seen in teacher.layers.items() if calls[name] == 1}
    teacher.norms = {name for name in teacher.norms if calls[name] == 1}
    return teacher


@torch.no_grad()
def reconstruct(model: nn.Module, teacher: Teacher, kept: Mapping[Slot, Tensor], run: Run,
                norms: bool) -> dict[str, tuple[float, float]]:
    """Fit every layer of a sliced model to what that of the dense one returns, in place.

    Layers are fitted in the order in which they run, to the inputs that they then really get, so
    that errors do not add up (He et al., ICCV 2017). Only what holds on rows that the fit has not
    seen is taken.

    Args:
        model: the sliced model, in evaluation mode.
        teacher: of `watch_dense`.
        kept: name of a weight and a dimension -> the positions kept there; what is not named is
            whole.
        run: as for the teacher, on the same images.
        norms: whether batch norms take the statistics of what they then get, too.

    Returns:
        Relative squared error of each layer before and after its fit.
    """
    errors: dict[str, tuple[float, float]] = {}
    hooks = []

    def fit(name: str, rows: LayerRows, seen: _Seen) -> Callable:
        def before(module: nn.Module, args: tuple) -> None:
            if not args or not rows.returns(args[0], seen.shape):
                return
            targets, slot = seen.rows, (f'{name}.weight', rows.channel_dim)
            if slot in kept:
                targets = rows.keep(targets, kept[slot].to(targets.device))
            weight, first, last = fit_weight(rows.inputs(args[0], seen.places), targets,
                                             rows.weight())
            rows.set_weight(weight)
            errors[name] = (first, last)
        return before

    for name, module in model.named_modules():
        rows = rows_of(module) if name in teacher.layers else None
        if rows is not None:
            hooks.append(module.register_forward_pre_hook(
                fit(name, rows, teacher.layers[name])))
        elif norms and name in teacher.norms:
            hooks.append(module.register_forward_pre_hook(_take_statistics))
    try:
        run(model)
    finally:
        for hook in hooks:
            hook.remove()
    return errors


def _is_the_map(rows: LayerRows, x: Tensor, output: Tensor, places: Tensor) -> bool:
    """Whether a layer returns its input rows times its weight, as its type promises."""
    few = places[:_SHOWN] if places.dim() == 1 else places[:, :-(-_SHOWN // len(places))]
    expected = rows.outputs(output, few)
    found = rows.inputs(x, few) @ rows.weight().mT
    return bool((found - expected).abs().max() <= _NEAR * expected.abs().max() + 1e-6)


def _take_statistics(module: Any, args: tuple) -> None:
    x = args[0].float()
    dims = [dim for dim in range(x.dim()) if dim != 1]
    variance, mean = torch.var_mean(x, dims)
    module.running_mean.copy_(mean)
    module.running_var.copy_(variance)
