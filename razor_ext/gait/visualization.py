"""Pictures: silhouettes of each condition, and rank-1 by view."""
from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .datasets import GaitDataset, read_sequence

_LABEL_WIDTH = 56


def silhouette_strip(rows: Mapping[str, np.ndarray], count: int = 12) -> np.ndarray:
    """Draw frames of several sequences below each other.

    Args:
        rows (Mapping[str, np.ndarray]): uint8 silhouettes ``[s, h, w]`` by label.
        count (int): Frames of each, evenly spaced.

    Returns:
        np.ndarray: RGB image.
    """
    lines = []
    for label, frames in rows.items():
        index = np.linspace(0, len(frames) - 1, count).round().astype(int)
        strip = np.concatenate(list(frames[index]), axis=1)
        name = np.zeros((strip.shape[0], _LABEL_WIDTH), np.uint8)
        cv2.putText(name, label, (4, strip.shape[0] // 2 + 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255,
                    1, cv2.LINE_AA)
        lines.append(np.concatenate([name, strip], axis=1))
    return cv2.cvtColor(np.concatenate(lines), cv2.COLOR_GRAY2RGB)


def condition_rows(dataset: GaitDataset, subject: str | None = None,
                   view: str | None = None) -> dict[str, np.ndarray]:
    """First sequence of each condition (``nm``, ``bg``, ... before the dash) of one subject.

    Args:
        dataset (GaitDataset): Where to look.
        subject (str, optional): Subject; None is the first.
        view (str, optional): View; None is the middle one of those the subject has.

    Raises:
        ValueError: If there is no such sequence.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    subject = infos[0]['subject'] if subject is None else subject
    infos = [info for info in infos if info['subject'] == subject]
    views = sorted({info['view'] for info in infos})
    if view is None and views:
        view = views[len(views) // 2]
    rows = {}
    for info in infos:
        name = info['condition'].split('-')[0]
        if info['view'] == view and name not in rows:
            frames = read_sequence(info)
            # channels of a frame stand below each other
            rows[name] = frames.reshape(len(frames), -1, frames.shape[-1])
    if not rows:
        raise ValueError(f'no sequence of subject {subject!r} in view {view!r}; the views of this '
                         f'subject are {views}')
    return rows


def view_chart(figures: Mapping[str, Mapping[str, float]]) -> np.ndarray:
    """Draw rank-1 by view, one line per condition.

    Args:
        figures (Mapping): Per cent by view by name of the line.

    Returns:
        np.ndarray: RGB image.
    """
    figure = Figure(figsize=(6.4, 3.6), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    for name, by_view in figures.items():
        values = list(by_view.values())
        axes.plot(list(by_view), values, marker='o', label=f'{name} {np.nanmean(values):.1f}')
    axes.set(xlabel='probe view (degrees)', ylabel='rank-1 (%)', ylim=(0, 100))
    axes.grid(alpha=0.3)
    axes.legend()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    image = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def save_image(image: np.ndarray, path: str | Path) -> None:
    """Write an RGB image, of the kind its suffix names."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f'could not write the image {path}')
