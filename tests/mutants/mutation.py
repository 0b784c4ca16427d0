"""Mutants: functions of which one operator, constant, condition or statement is another."""
from __future__ import annotations

import ast
import gc
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COMPARED = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
             ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot,
             ast.IsNot: ast.Is}
_COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult,
             ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
             ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift}
_NAMES = {'min': 'max', 'max': 'min', 'any': 'all', 'all': 'any', 'floor': 'ceil', 'ceil': 'floor',
          'minimum': 'maximum', 'maximum': 'minimum', 'amax': 'amin', 'amin': 'amax'}
#: Messages are no behaviour that a test should hold to the letter.
_LEFT_OUT = (ast.Raise, ast.JoinedStr, ast.Assert, ast.Import, ast.ImportFrom)
_TALKS = ('print_log', 'print', 'warn', 'info', 'debug')


@dataclass(frozen=True)
class Mutant:
    """A function with a change.

    Args:
        path: of the module, relative to the source tree.
        function: its qualified name.
        line: of the change.
        number: of the change, within the module.
        before, after: source of what is changed.
    """

    path: str
    function: str
    line: int
    number: int
    before: str
    after: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line} {self.function}: {self.before} -> {self.after}'


def _swaps(node: ast.AST) -> Iterator[tuple[ast.AST, str, object]]:
    """Yield changes of a node: the node to change, its field, the other value."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in _COMPARED:
                ops = list(node.ops)
                ops[place] = _COMPARED[type(operator)]()
                yield node, 'ops', ops
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in _COMPUTED:
        yield node, 'op', _COMPUTED[type(node.op)]()
    elif isinstance(node, ast.BoolOp):
        yield node, 'op', ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        yield node, 'op', ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float):
        value = node.value
        yield node, 'value', not value if isinstance(value, bool) else value + 1
    elif isinstance(node, ast.Name) and node.id in _NAMES:
        yield node, 'id', _NAMES[node.id]
    elif isinstance(node, ast.Attribute) and node.attr in _NAMES:
        yield node, 'attr', _NAMES[node.attr]
    if isinstance(node, (ast.If, ast.While, ast.IfExp)) and not isinstance(node.test, ast.Compare):
        yield node, 'test', ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, 'value', ast.copy_location(ast.Constant(None), node.value)
    if isinstance(node, ast.Return) and node.value is not None:
        yield node, 'value', ast.copy_location(ast.Constant(None), node.value)


def _is_left_out(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = node.value.func
        return getattr(called, 'id', getattr(called, 'attr', '')) in _TALKS
    return isinstance(node, _LEFT_OUT) or (
        isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
        and isinstance(node.operand, ast.Compare))


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a body that may change, inner functions included."""
    for name, field in ast.iter_fields(node):
        if name in ('annotation', 'returns', 'decorator_list', 'args') and not isinstance(
                node, ast.Call):
            continue  # what is evaluated where the function is made
        for child in field if isinstance(field, list) else [field]:
            if isinstance(child, ast.AST) and not _is_left_out(child):
                yield child
                yield from _within(child)


def _functions(node: ast.AST, prefix: str = '') -> Iterator[tuple[str, ast.FunctionDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            yield f'{prefix}{child.name}', child
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f'{prefix}{child.name}.')
        elif isinstance(child, (ast.If, ast.Try)):
            yield from _functions(child, prefix)


def _changes(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef, ast.AST, str, object]]:
    for name, function in _functions(tree):
        for node in _within(function):
            for owner, field, value in _swaps(node):
                yield name, function, owner, field, value


def mutants_of(path: str) -> list[Mutant]:
    """Return every mutant of a module.

    Args:
        path: of the module, relative to the source tree.
    """
    tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
    found = []
    for number, (name, _, node, field, value) in enumerate(_changes(tree)):
        before, old = ast.unparse(node), getattr(node, field)
        setattr(node, field, value)
        after = ast.unparse(node)
        setattr(node, field, old)
        found.append(Mutant(path, name, node.lineno, number, _short(before), _short(after)))
    return found


def _short(source: str) -> str:
    line = source.partition('\n')[0]
    return line if len(line) < 100 else f'{line[:97]}...'


def install(mutant: Mutant) -> None:
    """Give the live function, wherever it is referred to, the code of the mutant.

    Raises:
        LookupError: there is no such function in this process.
    """
    tree = ast.parse((ROOT / mutant.path).read_text(encoding='utf-8'))
    _, function, node, field, value = list(_changes(tree))[mutant.number]
    setattr(node, field, value)
    ast.fix_missing_locations(tree)
    line = min([function.lineno, *(item.lineno for item in function.decorator_list)])
    code = next(code for code in _codes(compile(tree, str(ROOT / mutant.path), 'exec'))
                if (code.co_qualname, code.co_firstlineno) == (mutant.function, line))
    live = find_functions(lambda old: (old.co_filename, old.co_qualname, old.co_firstlineno) == (
        code.co_filename, code.co_qualname, line))
    if not live:
        raise LookupError(str(mutant))
    for found in live:
        found.__code__ = code


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _codes(constant)


def find_functions(matches: Callable[[types.CodeType], bool]) -> list[types.FunctionType]:
    """Return the functions of this process whose code matches."""
    return [found for found in gc.get_objects()
            if type(found) is types.FunctionType and matches(found.__code__)]
