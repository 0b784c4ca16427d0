"""What each channel is worth, from images alone."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from razor_ext.algorithms.baselines.l1 import L1Criterion
from razor_ext.algorithms.baselines.random import RandomCriterion
from razor_ext.algorithms.baselines.taylor import TaylorCriterion
from razor_ext.algorithms.group_fisher.criterion import FisherCriterion
from razor_ext.pruning import ChannelIndex, Criterion, PruningAlgorithm

from .rows import DepthwiseRows, rows_of
from .samples import outputs, task_loss

Batches = Sequence[Mapping[str, Any]]


def _by_criterion(criterion: Criterion, losses: bool) -> Callable:
    def scores(algorithm: PruningAlgorithm, index: ChannelIndex, batches: Batches) -> Tensor:
        model = algorithm.architecture
        criterion.prepare(model, algorithm.mutator)
        criterion.to(index.device)
        nothing = torch.zeros(index.total, dtype=torch.bool, device=index.device)
        frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
        try:
            for parameter in frozen:  # what training would not move counts all the same
                parameter.requires_grad_(True)
            for batch in batches if losses else ():
                criterion.start_step()
                with torch.enable_grad():
                    task_loss(model, batch).backward()
                criterion.end_step()
                with torch.no_grad():
                    criterion.record(index, nothing, len(batch['inputs']), 1.0)
                model.zero_grad()
        finally:
            criterion.end_step()
            for parameter in frozen:
                parameter.requires_grad_(False)
        return criterion.scores(index).detach().clone()

    return scores


@torch.no_grad()
def activation_scores(algorithm: PruningAlgorithm, index: ChannelIndex, batches: Batches
                      ) -> Tensor:
    """Return the share of its consumers' outputs that each channel makes [C].

    The energy of a channel times the squared weights that read it, over the energy of all that is
    read there (the structured form of Wanda, Sun et al., ICLR 2024), summed over the layers that
    read the channel. Where no layer does, the squared weights that make it, over all of its unit's.

    Args:
        algorithm: its architecture in evaluation mode.
        index: its channels.
        batches: images.
    """
    model = algorithm.architecture
    energies = _input_energies(model, batches)
    shares: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        energy = energies.get(name)
        if energy is not None:
            weight: Any = module.weight
            parts = weight.float().square().transpose(0, 1).flatten(1).sum(1) * energy
            shares[f'{name}.weight'] = parts / parts.sum().clamp(min=1e-30)
    parameters = dict(model.named_parameters())
    parts = []
    for unit in algorithm.mutator.mutable_units:
        total = torch.zeros(unit.num_channels, device=index.device)
        read = [member for member in unit.members
                if member.role == 'in' and member.dim == 1 and member.name in shares]
        for member in read:
            total += shares[member.name][member.indices.to(index.device)].sum(1)
        if not read:
            for member in unit.members:
                parameter = parameters.get(member.name)
                if member.role == 'out' and parameter is not None and parameter.dim() > 1:
                    made = parameter.float().square().transpose(0, member.dim).flatten(1).sum(1)
                    own = made[member.indices.to(index.device)].sum(1)
                    total += own / own.sum().clamp(min=1e-30)
        parts.append(total)
    return torch.cat(parts)


def _input_energies(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """Return the sum of squares by channel of what each layer reads whose weight is [o, i, ...]."""
    energies: dict[str, Tensor] = {}

    def hook(name: str) -> Callable:
        def look(module: nn.Module, args: tuple) -> None:
            if args:
                dim = args[0].dim() - 1 if isinstance(module, nn.Linear) else 1
                others = [d for d in range(args[0].dim()) if d != dim]
                energies[name] = energies.get(name, 0) + args[0].float().square().sum(others)
        return look

    hooks = []
    for name, module in model.named_modules():
        rows = rows_of(module)
        if rows is not None and rows.channel_dim == 0 and not isinstance(rows, DepthwiseRows):
            hooks.append(module.register_forward_pre_hook(hook(name)))
    try:
        for batch in batches:
            outputs(model, batch)
    finally:
        for handle in hooks:
            handle.remove()
    return energies


#: Scores by name: functions of an algorithm, its channel index and batches, which return [C].
SCORES: Mapping[str, Callable[[PruningAlgorithm, ChannelIndex, Batches], Tensor]] = {
    'taylor': lambda *arguments: _by_criterion(TaylorCriterion(), True)(*arguments),
    'group_fisher': lambda *arguments: _by_criterion(FisherCriterion('none'), True)(*arguments),
    'activation': activation_scores,
    'l1': lambda *arguments: _by_criterion(L1Criterion(), False)(*arguments),
    'random': lambda *arguments: _by_criterion(RandomCriterion(), False)(*arguments),
}
