"""The files of razor_ext.graph import each other one way, and slicing needs nothing but units."""
from __future__ import annotations

import ast
from pathlib import Path

import torch
from torch import nn

import razor_ext.graph
from razor_ext.graph import ChannelUnit, UnitMember, slice_units

FOLDER = Path(razor_ext.graph.__file__).parent


def _imports(path: Path) -> tuple[set[str], list[int]]:
    """Names of the folder's files that a file imports, and lines of imports inside functions."""
    tree = ast.parse(path.read_text())
    names, inner = set(), []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            names.add(node.module.split('.')[0])
            if node not in tree.body:
                inner.append(node.lineno)
    return names, inner


def test_the_files_import_each_other_one_way() -> None:
    arrows = {}
    for path in FOLDER.glob('*.py'):
        arrows[path.stem], inner = _imports(path)
        assert not inner, f'{path.name} imports inside a function at lines {inner}'
    arrows.pop('__init__')
    while arrows:
        lowest = {name for name, needs in arrows.items() if not needs & set(arrows)}
        assert lowest, f'a circle among {sorted(arrows)}'
        arrows = {name: needs for name, needs in arrows.items() if name not in lowest}


def test_a_model_is_sliced_from_units_alone() -> None:
    rows = torch.arange(4)[:, None]
    unit = ChannelUnit('0_(0, 4)_4', 4, (
        UnitMember('0.weight', 0, rows, 'out'), UnitMember('0.bias', 0, rows, 'out'),
        UnitMember('1.weight', 1, rows, 'in')))
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    sliced = slice_units(model, [unit], {unit.name: [True, False, True, False]})
    assert sliced[0].out_features == sliced[1].in_features == 2
    assert torch.equal(sliced[0].weight, model[0].weight[::2])
    assert torch.equal(sliced[1].weight, model[1].weight[:, ::2])
