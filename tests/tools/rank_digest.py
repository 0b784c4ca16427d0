"""A hook, for the two-rank runs of the tools: every rank writes down its parameters' digest."""
from __future__ import annotations

import hashlib
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module(force=True)
class RankDigestHook(Hook):
    """Writes rank<N>.txt, the digest of all parameters and buffers, after training."""

    priority = 'LOWEST'

    def after_train(self, runner: Runner) -> None:
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        digest = hashlib.sha256()
        for name, value in sorted(model.state_dict().items()):
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        Path(runner.work_dir, f'rank{runner.rank}.txt').write_text(digest.hexdigest())
