"""Analyse a model: trace it, find its channel units, prove them; and slice it."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from . import attention, branches, huggingface, shuffles  # noqa: F401 (register stand-ins and fixers)
from .data import FrozenEntry, GraphData
from .draw import draw as draw_graph
from .errors import NothingToPruneError
from .memory import remembered
from .proof import check_slice, prove
from .propagate import propagate
from .search import Policy, verified
from .slicing import check_keep, slice_units
from .stand_ins import exposed
from .structure import bind_inputs, leaf_tensors, structure_copy
from .summary import summarize
from .trace import Program, trace

__all__ = ['ChannelGraph', 'FrozenEntry', 'analyze', 'slice_model']


class ChannelGraph(GraphData):
    """The dependency graph of a model's channels. Made by `analyze`.

    Example:
        >>> graph = analyze(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.ones(1, 3))
        >>> [unit.name for unit in graph.units]
        ['0_(0, 4)_4']
        >>> graph.params({'0_(0, 4)_4': 2})
        14
    """

    def prove(self, ratio: float = 0.5, seed: int = 0) -> float:
        """Remove a share of every unit at random and compare masked and sliced outputs.

        The comparison runs the real module with random weights in float64.

        Args:
            ratio: Share of each unit's channels to remove.
            seed: Seed of weights and choice.

        Returns:
            Largest difference, relative to the largest output.

        Raises:
            ProofError: Masking changed nothing, which proves nothing.
        """
        return prove(self.model, self, ratio, seed)

    def summary(self) -> str:
        """Return a printable account of units, shares and what is frozen."""
        return summarize(self)

    def draw(self, path: str | Path) -> None:
        """Draw units against the parameters they touch; SVG or PNG by suffix."""
        draw_graph(self, path)


def analyze(model: nn.Module, example_inputs: Any, *, keep: Sequence[str] = (),
            free_outputs: Mapping[int, Sequence[int]] | None = None, verify: bool = True,
            memory: str | Path | None = None) -> ChannelGraph:
    """Find which channels of a model must live or die together.

    The forward pass is traced to ATen operators on fake tensors of a copy in eval mode; the model
    is left exactly as it was.

    Args:
        model: Any module. OpenMMLab models are traced as a plain call, which is `mode='tensor'`.
        example_inputs: A tensor, a tuple of arguments, or a dict of keyword arguments.
        keep: Exact dotted names of modules or parameters to leave whole.
        free_outputs: Number of an output tensor -> dimensions of it that may shrink; by default
            no output changes its shape.
        verify: Prove the units on the real module in float64 and freeze those that fail.
        memory: Folder of proofs: what was proved of the same structure is not proved again.

    Returns:
        The graph.

    Raises:
        TraceError: The model cannot be traced.
        NothingToPruneError: No unit is prunable.
        ValueError: `keep` or `free_outputs` names something that is not there.
    """
    args, kwargs = bind_inputs(model, example_inputs)
    args, kwargs = pytree.tree_map(
        lambda x: x.detach() if isinstance(x, torch.Tensor) else x, (args, kwargs))
    clone = exposed(structure_copy(model))
    program = trace(clone, args, kwargs)
    free_outputs = _check_outputs(program, free_outputs or {})
    kept = _names(clone, keep)

    def build(policy: Policy) -> ChannelGraph:
        flow, frozen = propagate(program, policy, kept, free_outputs)
        return ChannelGraph(clone, args, kwargs, program, flow, frozen, free_outputs, policy)

    graph = build({})
    if verify and graph.units:
        graph = verified(graph, build) if memory is None else remembered(graph, build,
                                                                         Path(memory))
    if not graph.units:
        raise NothingToPruneError(_why_nothing(graph))
    return graph


def _names(model: nn.Module, keep: Sequence[str]) -> set[str]:
    if isinstance(keep, str):
        raise ValueError(f'keep must be a list of names, not the string {keep!r}')
    leaves = leaf_tensors(model)
    found = set()
    for name in keep:
        names = {leaf for leaf in leaves if leaf == name or leaf.startswith(f'{name}.')}
        if not names:
            raise ValueError(f'keep: the model has no module or parameter named {name!r}')
        found |= names
    return found


def _check_outputs(program: Program, free: Mapping[int, Sequence[int]]
                   ) -> dict[int, tuple[int, ...]]:
    checked = {}
    for number, dims in free.items():
        if not 0 <= number < len(program.outputs):
            raise ValueError(f'free_outputs: there is no output {number}; the model returns '
                             f'{len(program.outputs)} tensors')
        rank = len(program.shapes[program.outputs[number]])
        for dim in dims:
            if not -rank <= dim < rank:
                raise ValueError(f'free_outputs: output {number} has no dimension {dim}')
        checked[number] = tuple(dim % rank for dim in dims)
    return checked


def _why_nothing(graph: ChannelGraph) -> str:
    lines = [f'  {name}: {reason}' for name, reason in graph.refused.items()]
    seen = set()
    for entry in graph.frozen:
        line = f'  {entry.operator or "request"}: {entry.reason} ({entry.source or "-"})'
        if line not in seen:
            seen.add(line)
            lines.append(f'{line}, for example {entry.parameter} dimension {entry.dim}')
    if not lines:
        lines = ['  the model has no parameter with more than one channel']
    return ('nothing to prune: no channel of the model can be removed without changing what it '
            'computes or returns. What freezes the channels:\n' + '\n'.join(lines[:20]))


def slice_model(model: nn.Module, graph: GraphData, keep: Mapping[str, Any], check: bool = True
                ) -> nn.Module:
    """Return a copy of the model without the channels that are not kept.

    Args:
        model: The model the graph was made from, or one built alike.
        graph: Its `ChannelGraph`.
        keep: Unit name -> Boolean mask [num_channels]; a unit that is not named stays whole.
        check: Compare the slices on random weights in float64 against the masked model.

    Returns:
        The sliced model, in the training mode of `model`; its `state_dict` loads into any model
        built and sliced alike.

    Raises:
        SliceError: A bad `keep`, or the sliced model is not the masked one; the message names the
            operator and source line that went wrong.

    Example:
        >>> model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
        >>> graph = analyze(model, torch.ones(1, 3))
        >>> slice_model(model, graph, {'0_(0, 4)_4': [True, False, True, False]})
        Sequential(
          (0): Linear(in_features=3, out_features=2, bias=True)
          (1): Linear(in_features=2, out_features=2, bias=True)
        )
    """
    checked = check_keep(graph.units, keep)
    if check and not all(mask.all() for mask in checked.values()):
        check_slice(model, graph, checked)
    return slice_units(model, graph.units, checked)
