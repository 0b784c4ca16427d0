"""Imports within razor_ext point one way: between its folders, and between the modules of each.

Run with `-s` to see the arrows.
"""
from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / 'razor_ext'

#: Folders and modules of razor_ext from the lowest layer to the highest; those of one row do not
#: import each other. A new folder is to be added here.
LAYERS = (
    ('version', 'atomic', 'attention'),
    ('compat', ),
    ('engine', 'registry'),
    ('distillation', 'graph', 'quantization', 'walker'),
    ('structure', ),
    ('pruning', ),
    ('algorithms', ),
    ('posttraining', ),
    ('classification', 'detection', 'gait', 'pose'),
    ('deploy', ),
    ('plain', 'report'),
    ('workflow', ),
    ('check_env', ),
)
RANKS = {name: rank for rank, row in enumerate(LAYERS) for name in row}

#: Arrows that point up and stay: where MMDeploy imports its codebase `mmrazor`, which its wheel
#: lacks, the repair answers with the one of the deployment layer.
ALLOWED_UPWARD = {('compat', 'deploy')}
#: Circles of modules today. TO BE REMOVED with the circles; add none.
KNOWN_CIRCLES : set[frozenset[str]] = set()


def module_name(path: Path, package: Path) -> str:
    """Dotted name of a file, a package's for its `__init__.py`."""
    parts = path.relative_to(package.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports(path: Path, package: Path) -> Iterator[str]:
    """Yield what a file imports of the package, in functions too: modules or names of them."""
    name = module_name(path, package)
    folder = name if path.name == '__init__.py' else name.rpartition('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                upper = folder.split('.')[:len(folder.split('.')) - node.level + 1]
                base = '.'.join([*upper, base] if base else upper)
            found = [f'{base}.{alias.name}' for alias in node.names]
        elif (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
              and getattr(node.func, 'attr', getattr(node.func, 'id', '')) == 'import_module'):
            found = [str(node.args[0].value)]
        yield from (one for one in found if one.split('.')[0] == package.name)


def module_graph(package: Path) -> dict[str, set[str]]:
    """Return the modules that each module imports; a name counts as the module that holds it."""
    files = {module_name(path, package): path for path in sorted(package.rglob('*.py'))
             if '.mim' not in path.parts}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = {one if one in files else one.rpartition('.')[0] for one in
                   imports(path, package)}
        graph[name] = targets & set(files) - {name}
    return graph


def folder_graph(graph: dict[str, set[str]]) -> dict[str, dict[str, list[str]]]:
    """Return the arrows between folders, with the modules that import; the root has none."""
    arrows: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for name, targets in graph.items():
        for target in targets:
            if '.' in name and '.' in target:
                here, there = name.split('.')[1], target.split('.')[1]
                if here != there:
                    arrows[here].setdefault(there, []).append(name)
    return arrows


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Return the sets of modules that import one another (strongly connected components)."""
    def reach(start: str) -> set[str]:
        seen, queue = set(), [start]
        while queue:
            for target in graph[queue.pop()] - seen:
                seen.add(target)
                queue.append(target)
        return seen

    reached = {name: reach(name) for name in graph}
    return {frozenset(other for other in reached[name] if name in reached[other])
            for name in graph if name in reached[name]}


def upward(arrows: dict[str, dict[str, list[str]]]) -> dict[tuple[str, str], list[str]]:
    """Return the arrows that do not point to a lower layer.

    Raises:
        KeyError: If a folder is in no layer.
    """
    unknown = {*arrows, *(there for targets in arrows.values() for there in targets)} - set(RANKS)
    if unknown:
        raise KeyError(f'add {sorted(unknown)} to LAYERS: they are in no layer')
    return {(here, there): names for here, targets in arrows.items()
            for there, names in targets.items() if RANKS[there] >= RANKS[here]}


@pytest.fixture(scope='module')
def graph() -> dict[str, set[str]]:
    return module_graph(PACKAGE)


def test_arrows_between_folders_point_down(graph):
    folders = {name.split('.')[1] for name in graph if '.' in name}
    assert not folders - set(RANKS), f'add {sorted(folders - set(RANKS))} to LAYERS'
    arrows = folder_graph(graph)
    for name in sorted(folders, key=RANKS.get):
        print(f'{name} -> {", ".join(sorted(arrows[name], key=RANKS.get)) or "nothing"}')
    wrong = upward(arrows)
    assert set(wrong) == ALLOWED_UPWARD, wrong


def test_no_circle_of_modules(graph):
    found = circles(graph)
    new, gone = found - KNOWN_CIRCLES, KNOWN_CIRCLES - found
    assert not new, [sorted(circle) for circle in new]
    assert not gone, f'remove from KNOWN_CIRCLES: {[sorted(circle) for circle in gone]}'


def write(folder: Path, **files: str) -> dict[str, set[str]]:
    for name, content in files.items():
        path = folder / 'pack' / f'{name.replace("__", "/")}.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in (path.parent, folder / 'pack'):
            (parent / '__init__.py').touch()
        path.write_text(content)
    return module_graph(folder / 'pack')


@pytest.mark.parametrize('line', [
    'from pack.deploy import model', 'from ..deploy.model import X', 'import pack.deploy.model',
    'def late():\n    from ..deploy import model',
    'import importlib\nimportlib.import_module("pack.deploy.model")',
])
def test_an_arrow_that_points_up_is_found(tmp_path, line):
    graph = write(tmp_path, graph__units=line, deploy__model='X = 1')
    assert upward(folder_graph(graph)) == {('graph', 'deploy'): ['pack.graph.units']}


def test_a_circle_is_found(tmp_path):
    graph = write(tmp_path, graph__a='from . import b', graph__b='from .c import x',
                  graph__c='def late():\n    from .a import y', graph__d='from . import a')
    assert circles(graph) == {frozenset({'pack.graph.a', 'pack.graph.b', 'pack.graph.c'})}


def test_an_unknown_folder_is_an_error(tmp_path):
    graph = write(tmp_path, novel__a='from ..graph import b', graph__b='')
    with pytest.raises(KeyError, match=r"add \['novel'\] to LAYERS"):
        upward(folder_graph(graph))
