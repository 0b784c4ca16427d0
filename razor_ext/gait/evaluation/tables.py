"""Log tables in the layout the field prints (GaitSet's, which OpenGait kept)."""
from __future__ import annotations

import numpy as np

from .protocols import exclude_identical_views


def view_tables(matrices: dict[str, np.ndarray], views: list[str]) -> str:
    """Rank-1 with, without identical views, and by probe view, of matrices of rank-1 per cent."""
    excluded = {name: exclude_identical_views(m) for name, m in matrices.items()}
    lines = ['===Rank-1 (Include identical-view cases)===',
             ',\t'.join(f'{k}: {np.nanmean(m):.3f}' for k, m in matrices.items()),
             '===Rank-1 (Exclude identical-view cases)===',
             ',\t'.join(f'{k}: {np.nanmean(v):.3f}' for k, v in excluded.items()),
             '===Rank-1 of each angle (Exclude identical-view cases)===',
             f'views: [{" ".join(f"{v:>5s}" for v in views)}]']
    lines += [f'{k}:    [{" ".join(f"{x:5.2f}" for x in v)}]' for k, v in excluded.items()]
    return '\n' + '\n'.join(lines)


def retrieval_table(rows: dict[str, list[dict]], views: list[str]) -> str:
    """Rank-1 and mAP by probe view under the cross-view protocol."""
    lines = ['===Cross-view gallery===', f'views: [{" ".join(f"{v:>5s}" for v in views)}]']
    for name, figures in rows.items():
        for key in ('R1', 'mAP'):
            values = [f[key] for f in figures]
            lines.append(f'{name} {key}: [{" ".join(f"{x:5.2f}" for x in values)}] '
                         f'mean {np.nanmean(values):.3f}')
    return '\n' + '\n'.join(lines)
