"""Command lines of the tools: any option with any value."""
from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from hypothesis import strategies as st

from razor_ext.deploy.errors import DeployError
from razor_ext.deploy.options import DeployOptions
from razor_ext.workflow.request import RequestError

ROOT = Path(__file__).parents[2]
#: What runs to its end or to an error on what is no model, no config and no data.
RUN = ('compress', 'deploy', 'extract_compressed', 'get_channel_units', 'get_flops', 'train',
       'test', 'test_deployed', 'gait/convert_checkpoint', 'gait/convert_config',
       'gait/convert_dataset', 'gait/visualize')
VALUES = ('', ' ', '-1', '0', '1', '3', '0.5', 'nan', 'inf', '-inf', '1e999', '1e-320', '9' * 5000,
          'x', 'x' * 3000, 'a=b', '=', '=1', 'a.b=[', 'a=(1,2', 'a="', "a='x", 'a=[[1,2]',
          'a=1]', 'a.0.b=1', '..=1', 'model=3', 'model.type=os.system', '[1,2', '{}', 'macs=',
          'macs', 'macs=nan', 'macs=-1', 'macs=2', 'x=0.5', 'sparsity=1e999', '4-', '-', '8-4',
          '4-8-2', '0-99', '٣', 'é', '\udcff', 'missing', 'folder', 'empty', 'noise.json',
          'noise.py', 'a::b', '::', 'mmpose::x.py', '../x', 'cuda:99', 'none', 'None', 'True',
          '{{x}}', '%s', '${HOME}', '~')
#: What is in the folder of a case.
FILES = {'empty': b'', 'noise.json': b'{"a": [1, NaN', 'noise.py': b'model = dict(type=3)\nx = [',
         'noise.yaml': b'a: [1', 'dense.py': b'model = 3\n'}


@functools.cache
def load_tool(name: str) -> ModuleType:
    """Return a tool as a module."""
    path = ROOT / 'tools' / f'{name}.py'
    spec = importlib.util.spec_from_file_location(f'fuzzed_{path.stem}', path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, 'path', [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


class _Found(Exception):
    """Carries a parser."""


@functools.cache
def parser_of(name: str) -> argparse.ArgumentParser:
    """Return the parser that a tool makes."""
    found: list[argparse.ArgumentParser] = []

    def keep(self: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        found.append(self)
        raise _Found

    tool = load_tool(name)
    with mock.patch.multiple(argparse.ArgumentParser, parse_args=keep,
                             parse_intermixed_args=keep), contextlib.suppress(_Found):
        getattr(tool, 'parse_args', tool.main)()
    return found[0]


TOOLS = tuple(sorted(
    path.relative_to(ROOT / 'tools').with_suffix('').as_posix()
    for path in (ROOT / 'tools').rglob('*.py') if 'parse_args' in path.read_text()))


@st.composite
def options_case(draw: Any) -> tuple[str, list[str]]:
    """Draw a tool and its arguments: those that it must have, and up to three options."""
    name = draw(st.sampled_from((*TOOLS, *RUN)))
    arguments: list[str] = []
    actions = parser_of(name)._actions
    for action in actions:
        if not action.option_strings and action.nargs not in ('?', '*'):
            arguments.append(draw(st.sampled_from((*FILES, *VALUES))))
    options = [action for action in actions if action.option_strings and action.dest != 'help']
    for _ in range(draw(st.integers(0, 3)) if options else 0):
        action = draw(st.sampled_from(options))
        arguments.append(action.option_strings[-1])
        if action.nargs != 0:
            arguments.append(draw(st.sampled_from(VALUES)))
    return name, arguments


def run_options(case: tuple[str, list[str]], folder: Path) -> None:
    """Check that a command line is parsed, or refused in one line."""
    name, arguments = case
    for file, content in FILES.items():
        (folder / file).write_bytes(content)
    (folder / 'folder').mkdir(exist_ok=True)
    parser = parser_of(name)
    try:
        try:
            parsed = (parser.parse_intermixed_args if name == 'deploy' else parser.parse_args)(
                arguments)
        except SystemExit:
            return
        if name == 'compress':
            load_tool(name).read_request(parsed)
        elif name == 'deploy':
            DeployOptions(parity_threshold=parsed.parity_threshold, rounds=parsed.rounds,
                          integer_threshold=parsed.integer_threshold, parent=parsed.parent,
                          pack_int4=parsed.pack_int4, compare_static=parsed.compare_static)
        if name in RUN:
            _run(name, arguments, folder)
    except (DeployError, RequestError) as error:
        assert len(str(error)) < 7000, str(error)[:200]


def _run(name: str, arguments: list[str], folder: Path) -> None:
    with mock.patch.object(sys, 'argv', [name, *arguments]):
        try:
            load_tool(name).main()
        except SystemExit as ended:
            assert ended.code is None or isinstance(ended.code, int) or (
                0 < len(str(ended.code)) < 7000), str(ended.code)[:200]
        except (FileNotFoundError, ValueError) as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            if not (last.filename.startswith(str(ROOT)) and 'raise' in str(last.line)):
                raise  # an error of somebody else's, which says nothing to the user
