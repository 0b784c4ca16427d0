"""Charts as SVG that takes the colour of the text around it."""
from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Stands for the colour of the text, and is replaced by it.
_INK = '#010203'
#: Of what is kept, and of what a second series shows: both readable on light and dark.
_FIRST, _SECOND = '#2f7fd0', '#d9822b'
_STYLE = {'svg.fonttype': 'none', 'text.color': _INK, 'axes.edgecolor': _INK,
          'axes.labelcolor': _INK, 'xtick.color': _INK, 'ytick.color': _INK, 'font.size': 11,
          'font.family': 'sans-serif', 'svg.hashsalt': 'razor_ext'}
_WIDTH = 9.0


def unit_chart(units: Sequence[Mapping[str, Any]]) -> str:
    """Draw the channels of every unit, kept and removed.

    Args:
        units: entries with `name`, `channels`, `kept`, in execution order.

    Returns:
        The SVG.
    """
    def draw(axes: Axes) -> None:
        places = range(len(units))
        axes.bar(places, [unit['channels'] for unit in units], color='none', edgecolor=_INK,
                 linewidth=0.8, label='removed')
        axes.bar(places, [unit['kept'] for unit in units], color=_FIRST, label='kept')
        axes.set_xlabel('channel units, in the order in which the model runs')
        axes.set_ylabel('channels')

    return _svg(draw, 2.6)


def bit_chart(layers: Sequence[Mapping[str, Any]]) -> str:
    """Draw the bits of every layer.

    Args:
        layers: entries with `name`, `weight` and `activation` in bits, or None.

    Returns:
        The SVG.
    """
    def draw(axes: Axes) -> None:
        for side, colour, marker in (('weight', _FIRST, 's'), ('activation', _SECOND, 'o')):
            points = [(place, layer[side]) for place, layer in enumerate(layers)
                      if layer[side] is not None]
            if points:
                axes.plot(*zip(*points), marker, color=colour, markersize=5, label=f'{side}s')
        most = max((layer[side] or 0 for layer in layers for side in ('weight', 'activation')),
                   default=8)
        axes.set_ylim(1, most + 1)
        axes.set_xlabel('quantized layers, in the order in which the model runs')
        axes.set_ylabel('bits')

    return _svg(draw, 2.4)


def curve_chart(series: Mapping[str, Sequence[tuple[float, float]]], label: str,
                marks: Mapping[str, float] | None = None) -> str:
    """Draw curves over the steps of a training.

    Args:
        series: points (step, value) by name, at most two.
        label: what the values are.
        marks: horizontal lines by name.

    Returns:
        The SVG.
    """
    def draw(axes: Axes) -> None:
        for (name, points), colour in zip(series.items(), (_FIRST, _SECOND)):
            axes.plot(*zip(*points), '.-', color=colour, label=name)
        for name, value in (marks or {}).items():
            axes.axhline(value, color=_INK, linestyle='--', linewidth=1, label=name)
        axes.set_xlabel('step')
        axes.set_ylabel(label)

    return _svg(draw, 2.6)


def pareto_chart(points: Sequence[tuple[str, float, float]], x_label: str, y_label: str) -> str:
    """Draw runs by what they cost and what they reach, joined where none is better in both.

    Args:
        points: name, cost and metric of each run.
        x_label, y_label: what cost and metric are.

    Returns:
        The SVG.
    """
    def draw(axes: Axes) -> None:
        for name, x, y in points:
            axes.plot([x], [y], 'o', color=_FIRST, markersize=6)
            axes.annotate(name, (x, y), xytext=(6, -4), textcoords='offset points', fontsize=9)
        best = pareto_front([(x, y) for _, x, y in points])
        axes.plot(*zip(*(points[number][1:] for number in best)), '-', color=_FIRST, linewidth=1)
        axes.margins(x=0.15, y=0.15)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return _svg(draw, 3.6, whole=False)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the numbers of the points that none other beats, the cheapest first.

    Args:
        points: cost, of which less is better, and metric, of which more is.

    Example:
        >>> pareto_front([(2, 0.5), (1, 0.4), (2, 0.3), (3, 0.5)])
        [1, 0]
    """
    front, best = [], float('-inf')
    for number in sorted(range(len(points)), key=lambda n: (points[n][0], -points[n][1])):
        if points[number][1] > best:
            front.append(number)
            best = points[number][1]
    return front


def _svg(draw: Any, height: float, whole: bool = True) -> str:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout='constrained')
        axes = figure.subplots()
        draw(axes)
        for side in ('top', 'right'):
            axes.spines[side].set_visible(False)
        if whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(frameon=False, loc='upper left', bbox_to_anchor=(1.0, 1.0))
        buffer = io.StringIO()
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    text = buffer.getvalue()
    return text[text.index('<svg'):].replace(_INK, 'currentColor')
