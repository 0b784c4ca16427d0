"""Prove that slicing channels away equals zeroing them, on the real module, in float64."""
from __future__ import annotations

import functools
import math
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from .choices import choose
from .data import GraphData
from .errors import ProofError, SliceError
from .predict import Mismatch, first_mismatch
from .scramble import AllDouble, double_inputs, scrambled, untouched_rng
from .slicing import Positions, complement, removed_positions, slice_tensors
from .structure import call_with, leaf_tensors, structure_copy
from .trace import SKIPPED_ROOTS
from .units import ChannelUnit

TOLERANCE = 1e-9


def outputs_of(result: Any) -> list[torch.Tensor]:
    """Return the tensors of a model's output, in order."""
    return [leaf for leaf in pytree.tree_flatten(result)[0] if isinstance(leaf, torch.Tensor)]


class Prover:
    """Compares masked and sliced versions of one scrambled model.

    Args:
        model: The full model.
        graph: Its graph.
        seed: Seed of the random weights.
    """

    def __init__(self, model: nn.Module, graph: GraphData, seed: int = 0) -> None:
        self.graph = graph
        self._plain, self._seed = model, seed
        self._followed: set[tuple[Any, ...]] = set()
        self.error, self.compared = 0.0, 0

    @functools.cached_property
    def model(self) -> nn.Module:
        """The model with random weights."""
        return scrambled(self._plain, self._seed)

    @functools.cached_property
    def state(self) -> dict[str, torch.Tensor]:
        """Its parameters and buffers."""
        return {name: tensor.detach() for name, tensor in leaf_tensors(self.model).items()}

    @functools.cached_property
    def _inputs(self) -> tuple[tuple, dict[str, Any]]:
        device = next((tensor.device for tensor in self.state.values()), None)
        return double_inputs(self.graph, device)

    @property
    def units(self) -> list[ChannelUnit]:
        """The units of the model."""
        return self.graph.units

    def other(self, seed: int) -> Prover:
        """Return a prover of the same model with other weights."""
        return Prover(self._plain, self.graph, seed)

    @functools.cached_property
    def base(self) -> list[torch.Tensor]:
        """Outputs of the whole model."""
        with torch.no_grad():
            return outputs_of(self._call(self.state))

    def _call(self, state: Mapping[str, torch.Tensor]) -> Any:
        state = {name: tensor.clone() for name, tensor in state.items()}
        return self._run(structure_copy(self.model), state)

    def _run(self, model: nn.Module, state: Mapping[str, torch.Tensor] | None = None) -> Any:
        """Call a copy of a model, to which its forward pass may write."""
        args, kwargs = self._inputs
        with untouched_rng(), AllDouble():
            torch.manual_seed(0)
            return model(*args, **kwargs) if state is None else call_with(
                model, state, args, kwargs)

    def compare(self, keep: Mapping[str, torch.Tensor]) -> tuple[float, list[torch.Tensor]]:
        """Mask and slice the same channels.

        Returns:
            Largest difference of the two outputs, relative to the largest output, and the masked
            outputs.
        """
        removed = removed_positions(self.units, keep)
        expected = self.masked(removed)
        unsliced = list(expected)
        with torch.no_grad():
            for (name, dim), positions in removed.items():
                if name.startswith('output.'):
                    number = int(name.partition('.')[2])
                    rest = complement(positions, expected[number].shape[dim])
                    expected[number] = expected[number].index_select(
                        dim, rest.to(expected[number].device))
            found = outputs_of(self._run(_own_buffers(
                slice_tensors(self.model, removed, share=True))))
        if [a.shape for a in expected] != [b.shape for b in found]:
            raise SliceError(f'the sliced model returns shapes {[tuple(b.shape) for b in found]}, '
                             f'not {[tuple(a.shape) for a in expected]}')
        error = max((_distance(a, b) for a, b in zip(expected, found)), default=0.0)
        return error, unsliced

    def moved(self, outputs: Sequence[torch.Tensor]) -> float:
        """How far outputs are from those of the whole model."""
        return max((_distance(b, a) for a, b in zip(outputs, self.base)), default=0.0)

    def masked(self, removed: Positions) -> list[torch.Tensor]:
        """Return the outputs with every removed slice 0."""
        state = dict(self.state)
        for (name, dim), positions in removed.items():
            if name in state:
                state[name] = state[name].index_fill(dim, positions.to(state[name].device), 0)
        with torch.no_grad():
            return outputs_of(self._call(state))

    def mismatch(self, keep: Mapping[str, torch.Tensor]) -> Mismatch | None:
        """Return the first operator of the sliced module that is not as the graph predicts.

        A choice that held once is not traced again: `unfollowed` and `unproved` ask for the same.
        """
        choice = (self.graph.flow, *((name, mask.numpy().tobytes())
                                     for name, mask in sorted(keep.items())))
        if choice in self._followed:
            return None
        graph = self.graph
        sliced = slice_tensors(graph.model, removed_positions(graph.units, keep), share=True)
        found = first_mismatch(graph, keep, sliced, graph.args, graph.kwargs)
        if found is None:
            self._followed.add(choice)
        return found

    def failure(self, keep: Mapping[str, torch.Tensor]) -> Mismatch | None:
        """Return why the sliced module is not the masked one, or None if it is."""
        found = self.mismatch(keep)
        return self.difference(keep) if found is None else found

    def difference(self, keep: Mapping[str, torch.Tensor]) -> Mismatch | None:
        """Return how the outputs of the masked and the sliced module differ, None if they agree."""
        try:
            error, _ = self.compare(keep)
        except Exception as exception:  # any error of the sliced module is a failed proof
            return Mismatch(describe(exception), frozenset())
        if error <= TOLERANCE:
            self.error, self.compared = max(error, self.error), self.compared + 1
            return None
        return Mismatch(f'sliced and masked outputs differ by {error:.2g}', frozenset())

    def idle(self, units: Sequence[ChannelUnit]) -> list[ChannelUnit]:
        """Return the units on which the output does not depend: a proof says nothing of them."""
        try:
            return self._without_effect(units)
        except RuntimeError:  # not differentiable, for example because of in-place writes
            return [unit for unit in units if not self.moved(self.masked(removed_positions(
                self.units, {unit.name: torch.zeros(unit.num_channels, dtype=torch.bool)})))]

    def _without_effect(self, units: Sequence[ChannelUnit]) -> list[ChannelUnit]:
        trainable = {name for name, tensor in self.model.named_parameters()
                     if tensor.is_floating_point()}
        parameters = {name: tensor.clone().requires_grad_(name in trainable)
                      for name, tensor in self.state.items()}
        generator = torch.Generator().manual_seed(1)
        with torch.enable_grad():
            outputs = [x for x in outputs_of(self._functional(parameters)) if x.requires_grad]
            if not outputs:
                return list(units)
            terms = [(x * torch.randn(x.shape, generator=generator,
                                      dtype=x.dtype).to(x.device)).sum() for x in outputs]
            total = sum(terms[1:], terms[0])
            leaves = {name: tensor for name, tensor in parameters.items() if tensor.requires_grad}
            grads = dict(zip(leaves, torch.autograd.grad(total, list(leaves.values()),
                                                         allow_unused=True)))
        effect = {name: (grad * leaves[name].detach()).abs() for name, grad in grads.items()
                  if grad is not None}

        def moves(unit: ChannelUnit) -> bool:
            return any(
                bool(effect[member.name].index_select(
                    member.dim, member.indices.reshape(-1).to(effect[member.name].device)).any())
                for member in unit.members if member.name in effect)

        return [unit for unit in units if not moves(unit)]

    def _functional(self, parameters: Mapping[str, torch.Tensor]) -> Any:
        return self._run(structure_copy(self.model), parameters)


class SlimProver(Prover):
    """Compares masked and sliced versions of a slim copy.

    Args:
        model: The copy.
        graph: The graph of the whole model, whose inputs it takes.
        units: The units of the copy.
        seed: Seed of the random weights.
    """

    def __init__(self, model: nn.Module, graph: GraphData, units: list[ChannelUnit], seed: int = 0
                 ) -> None:
        super().__init__(model, graph, seed)
        self._own = units

    @property
    def units(self) -> list[ChannelUnit]:
        return self._own

    def other(self, seed: int) -> SlimProver:
        return SlimProver(self._plain, self.graph, self._own, seed)


def _own_buffers(model: nn.Module) -> nn.Module:
    """Give a copy that shares tensors buffers of its own: a forward pass may write to them."""
    copies: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = copies.setdefault(id(buffer), buffer.clone())
    return model


def describe(exception: Exception) -> str:
    """Return the error with the innermost source line outside torch."""
    frames = [frame for frame in traceback.extract_tb(exception.__traceback__)
              if not frame.filename.startswith(SKIPPED_ROOTS)]
    where = f' at {frames[-1].filename}:{frames[-1].lineno}' if frames else ''
    text = str(exception).strip().splitlines()
    return f'{type(exception).__name__}{where}: {text[0] if text else ""}'


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    if a.numel() == 0:
        return 0.0
    if not a.is_floating_point():
        return 0.0 if torch.equal(a, b) else math.inf
    distance, scale = (a - b).abs().max().item(), a.abs().max().item()
    if not math.isfinite(distance) or (distance and not scale):
        return math.inf
    return distance / scale if scale else 0.0


def prove(model: nn.Module, graph: GraphData, ratio: float, seed: int = 0) -> float:
    """See `ChannelGraph.prove`."""
    if not 0 < ratio < 1:
        raise ValueError(f'ratio must lie between 0 and 1, not {ratio}')
    prover = Prover(model, graph, seed)
    error, masked = prover.compare(choose(graph.units, [ratio] * len(graph.units), seed))
    if not prover.moved(masked):
        raise ProofError('masking changed nothing, so the comparison proves nothing; give '
                         'example inputs that reach the pruned channels')
    return error


def check_slice(model: nn.Module, graph: GraphData, keep: Mapping[str, torch.Tensor]) -> None:
    """Raise `SliceError` unless slicing this choice equals masking it."""
    mismatch = Prover(model, graph).failure(keep)
    if mismatch is not None:
        raise SliceError('slicing this choice of channels would change the model: '
                         f'{mismatch.text}. Register a fixer for the module that holds the size, '
                         'or keep the unit whole')
