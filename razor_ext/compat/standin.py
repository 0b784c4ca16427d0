"""Stand-ins for absent libraries: importable names that raise when used."""
from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def make_member(name: str, message: str) -> type:
    """Return a stand-in for one class or function of an absent library.

    It is a class, so that it can be imported, subclassed, registered and used in ``isinstance``
    (nothing is an instance of it). Calling it raises an ImportError with `message`.
    """

    def __new__(cls, *args: Any, **kwargs: Any):
        raise ImportError(message)

    return type(name, (), {'__new__': __new__, '__doc__': message})


class StandInModule(types.ModuleType):
    """A module every member of which is a stand-in.

    Args:
        name: Dotted module name.
        message: What the ImportError of a used member says: what is missing and what to do.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__ = []

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        member = make_member(name, f'{self.__name__}.{name} is needed here. {self.__doc__}')
        setattr(self, name, member)
        return member


@contextmanager
def stand_in_modules(names: tuple[str, ...], message: str) -> Iterator[None]:
    """Put stand-in modules in ``sys.modules`` for the length of a block, then take them out.

    Args:
        names: Dotted names; a package before what it contains.
        message: What the ImportError of a used member says.
    """
    for name in names:
        sys.modules[name] = StandInModule(name, message)
        package, _, child = name.rpartition('.')
        if package in names:
            setattr(sys.modules[package], child, sys.modules[name])
    try:
        yield
    finally:
        for name in names:
            sys.modules.pop(name, None)
