"""A printable account of a channel graph."""
from __future__ import annotations

from collections import Counter

from .data import GraphData


def summarize(graph: GraphData, limit: int = 20) -> str:
    """Return units, shares and what is frozen as text.

    Args:
        graph: The graph.
        limit: Reasons to list at most.
    """
    width = max((len(unit.name) for unit in graph.units), default=4)
    lines = [f'{len(graph.units)} channel units, {sum(u.num_channels for u in graph.units)} '
             f'channels, {graph.reachable_share:.1%} of {graph.total_params:,} parameters '
             f'reachable, {graph.total_macs:,} multiply-accumulates',
             *_evidence(graph),
             f'{"unit":<{width}} {"channels":>8} {"MACs each":>12} {"params each":>11} members']
    for unit in graph.units:
        lines.append(f'{unit.name:<{width}} {unit.num_channels:>8} {unit.macs_per_channel:>12,} '
                     f'{unit.params_per_channel:>11,} {len(unit.members):>7}')
    reasons = Counter((entry.reason, entry.operator, entry.source) for entry in graph.frozen)
    if reasons:
        lines.append('frozen dimensions, by reason:')
    for (reason, operator, source), count in reasons.most_common(limit):
        where = f' in {operator} ({source})' if operator else ''
        lines.append(f'  {count:>4} x {reason}{where}')
    if len(reasons) > limit:
        lines.append(f'  and {len(reasons) - limit} more reasons')
    for name, reason in graph.refused.items():
        lines.append(f'refused: {name}: {reason}')
    return '\n'.join(lines)


def _evidence(graph: GraphData) -> list[str]:
    """Return what the proof rests on, in a line; none where nothing was proved."""
    found = graph.evidence
    if found is None:
        return []
    copies = f' and two on each of {found.copies} slim copies' if found.copies else ''
    return [f'{"proved before" if found.remembered else "proved"} by {found.whole} choices of '
            f'channels on the whole model{copies}, largest relative difference {found.error:.0e}']
