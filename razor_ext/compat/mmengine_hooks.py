"""mmengine removes only its own default hooks by None."""
from __future__ import annotations

import functools
import types
from typing import Any

from .repair import RepairSpec


def mend_hook_removal() -> bool:
    """Let None in `default_hooks` remove any hook, as its documentation says."""
    from mmengine.runner import Runner

    try:
        Runner.register_default_hooks(
            types.SimpleNamespace(register_hook=lambda hook: None), {'a_hook_of_a_config': None})
    except AssertionError:
        pass
    else:
        return False
    original = Runner.register_default_hooks
    own = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')

    @functools.wraps(original)
    def register_default_hooks(self: Runner, hooks: dict[str, Any] | None = None) -> None:
        if hooks is not None:
            hooks = {name: hook for name, hook in hooks.items() if hook is not None or name in own}
        original(self, hooks)

    Runner.register_default_hooks = register_default_hooks
    return True


REPAIRS = (
    RepairSpec(
        'mmengine-hooks', 'mmengine',
        'mmengine 0.10.7 refuses None for a default hook that a config has added, which therefore '
        'no config that inherits it can remove',
        mend_hook_removal),
)
