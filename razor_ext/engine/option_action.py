"""`--cfg-options` of the command line, whose mistakes are said in one line."""
from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


class OptionAction(DictAction):
    """MMEngine's `DictAction`: key=value, lists as key="[a,b]" or key=a,b."""

    def __call__(self, parser: ArgumentParser, namespace: Namespace,
                 values: str | Sequence[Any] | None, option_string: str | None = None) -> None:
        """Add pairs to the namespace; leave by the parser's error where one is none."""
        for pair in [values] if isinstance(values, str) else values or ():
            key, equals, _ = str(pair).partition('=')
            if not equals or not all(key.split('.')):
                parser.error(f'argument {option_string}: {pair!r:.200} is no key=value')
            try:
                super().__call__(parser, namespace, [pair], option_string)
            except (AssertionError, ValueError) as error:
                parser.error(f'argument {option_string}: the value of {key:.100} cannot be read: '
                             f'{str(error)[:200]}')
