"""A drawing of a channel graph: units against the stages of the network."""
from __future__ import annotations

from pathlib import Path

import torch

from .data import GraphData


def draw(graph: GraphData, path: str | Path) -> None:
    """Draw which share of each unit's cost lies in which module, units from top to bottom.

    Args:
        graph: The graph.
        path: Where to write; `.svg` or `.png`.
    """
    path = Path(path)
    if path.suffix not in ('.svg', '.png'):
        raise ValueError(f'{path} must end in .svg or .png')
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    owners = list(dict.fromkeys(member.name.rpartition('.')[0] or member.name
                                for unit in graph.units for member in unit.members))
    column = {owner: i for i, owner in enumerate(owners)}
    roles = torch.zeros(len(graph.units), len(owners))
    for row, unit in enumerate(graph.units):
        for member in unit.members:
            owner = member.name.rpartition('.')[0] or member.name
            old = roles[row, column[owner]]
            new = 1 if member.role == 'out' else 2
            roles[row, column[owner]] = new if old in (0, new) else 3
    size = (4 + 0.12 * len(owners), 1.8 + 0.2 * len(graph.units))
    figure = Figure(figsize=size, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = matplotlib.colors.ListedColormap(['white', '#2b6cb0', '#dd8a2e', '#6b4c9a'])
    axes.pcolormesh(roles.numpy(), cmap=colours, vmin=0, vmax=3, edgecolors='#dddddd',
                    linewidth=0.3, rasterized=True)
    axes.set_yticks([i + 0.5 for i in range(len(graph.units))],
                    [unit.name for unit in graph.units], fontsize=6)
    axes.set_xticks([i + 0.5 for i in range(len(owners))], owners, fontsize=4, rotation=90)
    axes.invert_yaxis()
    # Over the whole figure: the axes of a small model are narrower than the text.
    figure.suptitle(f'{len(graph.units)} units; {graph.reachable_share:.1%} of parameters '
                    'reachable\nblue produces the channels, orange consumes them, violet both',
                    fontsize=7)
    with matplotlib.rc_context({'svg.fonttype': 'none'}):
        figure.savefig(path, dpi=150)
