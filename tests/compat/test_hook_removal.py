"""None removes a hook of a config that is inherited."""
from __future__ import annotations

import types

import pytest
from mmengine.runner import Runner

import razor_ext  # noqa: F401


def registered(hooks: dict | None) -> list:
    found: list = []
    Runner.register_default_hooks(types.SimpleNamespace(register_hook=found.append), hooks)
    return [hook['type'] for hook in found]


def test_none_removes_a_hook_of_a_config() -> None:
    default = registered(None)
    assert registered(dict(mine=dict(type='MyHook'))) == [*default, 'MyHook']
    assert registered(dict(mine=None)) == default
    assert registered(dict(timer=None, mine=None)) == [name for name in default
                                                       if name != 'IterTimerHook']


def test_mmengine_still_needs_it(run_python) -> None:
    result = run_python(
        'import types, razor_ext\n'
        'from mmengine.runner import Runner\n'
        'stub = types.SimpleNamespace(register_hook=lambda hook: None)\n'
        'Runner.register_default_hooks(stub, dict(mine=None))\n', skip='mmengine-hooks')
    if result.returncode == 0:
        pytest.fail('mmengine removes such hooks itself now: drop the repair')
    assert 'AssertionError' in result.stderr
