"""Mistakes in `--cfg-options` and in configs end in one line that names them."""
from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from mmengine.config import Config

from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import ConfigFileError, merge_options, read_config


def parse(*values: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={})
    return parser.parse_args(['--cfg-options', *values]).cfg_options


def test_options_are_those_of_mmengine() -> None:
    assert parse('a.b=1', 'c=[1,2]', 'd=(a,b)', 'e=x=y') == {
        'a.b': 1, 'c': [1, 2], 'd': ('a', 'b'), 'e': 'x=y'}


@pytest.mark.parametrize('value', ['a', '=1', 'a..b=1', '.a=1', 'a=(1,2', 'a=[[1,2]'])
def test_what_is_no_option_is_named(value: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(value)
    assert ended.value.code == 2
    assert 'argument --cfg-options' in capsys.readouterr().err


@pytest.mark.parametrize('content', ['model = dict(', 'model = 3\n', 'raise KeyError("x")\n'])
def test_a_config_that_cannot_be_read_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / 'broken.py'
    path.write_text(content)
    with pytest.raises(ConfigFileError, match=r'broken\.py'):
        read_config(str(path))


@pytest.mark.parametrize('path', ['', 'x' * 5000, 'none.py', 'mmpose::none.py'])
def test_a_config_that_is_not_there_is_named(path: str) -> None:
    with pytest.raises(FileNotFoundError, match='config'):
        read_config(path)


def test_an_option_that_does_not_fit_is_named() -> None:
    with pytest.raises(ConfigFileError, match=r'a\.b\.c'):
        merge_options(Config(dict(a=dict(b=[1]))), {'a.b.c': 3})
