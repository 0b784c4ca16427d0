"""What the comparisons of methods share: uniform structures, scores of channels, and the table."""
from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import torch
from prettytable import PrettyTable
from torch import Tensor, nn

from razor_ext.graph import ChannelGraph


def uniform_counts(graph: ChannelGraph, ratio: float, divisor: int) -> dict[str, int]:
    """Keep the same share of every unit; what the divisor leaves over goes to the first units."""
    def counts(share: float) -> dict[str, int]:
        return {u.name: min(u.num_channels,
                            max(divisor, int(u.num_channels * share) // divisor * divisor))
                for u in graph.units}

    limit = ratio * graph.total_macs
    within = [s / 400 for s in range(1, 401) if graph.macs(counts(s / 400)) <= limit]
    if not within:
        least = graph.macs(counts(0)) / graph.total_macs
        raise ValueError(f'a uniform structure leaves {least:.3f} of the MACs at the least with '
                         f'divisor {divisor}, not {ratio:.3f}; take a smaller divisor')
    left = counts(max(within))
    for unit in graph.units:
        wider = {**left, unit.name: min(left[unit.name] + divisor, unit.num_channels)}
        if graph.macs(wider) <= limit:
            left = wider
    return left


def keep_best(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Mask of the channels of highest score of every unit."""
    keep = {}
    for name, values in scores.items():
        keep[name] = torch.zeros(len(values), dtype=torch.bool)
        keep[name][values.topk(counts[name]).indices] = True
    return keep


def unit_sums(graph: ChannelGraph, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Sum values of parameters over all that makes each channel."""
    sums = {}
    for unit in graph.units:
        sums[unit.name] = torch.zeros(unit.num_channels)
        for member in unit.members:
            value = values.get(member.name)
            if member.role == 'out' and value is not None:
                rows = value.movedim(member.dim, 0)
                rows = rows.reshape(len(rows), -1).sum(1)
                sums[unit.name] += rows[member.indices].reshape(unit.num_channels, -1).sum(1)
    return sums


def l1_scores(model: nn.Module, graph: ChannelGraph) -> dict[str, Tensor]:
    """L1 norm of the weights of each channel (Li et al., ICLR 2017)."""
    return unit_sums(graph, {name: p.detach().abs() for name, p in model.named_parameters()
                             if p.dim() > 1})


def format_rows(rows: Mapping[str, Sequence[Mapping[str, float]]], formats: Mapping[str, str],
                spread: str) -> str:
    """Lay out the mean of every figure over the seeds, and the least and most of one.

    Args:
        rows: Figures of every seed by method.
        formats: Format of each figure, in the order of the columns.
        spread: Figure whose least and most are shown.
    """
    columns = [part for key in formats for part in (
        (key, f'{key} min', f'{key} max') if key == spread else (key,))]
    table = PrettyTable(['method', *columns], align='r')
    table.align['method'] = 'l'
    for name, results in rows.items():
        cells = []
        for key, style in formats.items():
            values = [row[key] for row in results]
            shown = [statistics.mean(values), min(values), max(values)]
            cells += [format(value, style) for value in shown[:3 if key == spread else 1]]
        table.add_row([f'{name} ({len(results)})', *cells])
    return table.get_string()
