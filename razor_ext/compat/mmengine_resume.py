"""mmengine resumes neither random generators nor within an epoch."""
from __future__ import annotations

import functools
import logging
import tempfile
import types
from collections.abc import Iterator
from typing import Any

from .random_state import random_state, restore_random_state, seed_workers, start_loader
from .repair import RepairSpec

#: In the `meta` of a checkpoint: the states of the generators, rank by rank.
STATES = 'random_states'
#: In the `meta`: batches of the epoch that are done, and batches of an epoch.
BATCHES = 'epoch_batches'


def _saves_no_state(hook_class: type) -> bool:
    """Return whether the hook adds nothing to the meta information of a checkpoint."""
    from mmengine.fileio.backends import LocalBackend

    meta: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        hook = hook_class(by_epoch=False)
        hook.file_backend, hook.out_dir = LocalBackend(), folder
        hook._save_checkpoint_with_step(types.SimpleNamespace(
            work_dir=folder, train_loop=None, save_checkpoint=lambda *_, **__: None,
            message_hub=types.SimpleNamespace(update_info=lambda *_: None)), 1, meta)
    return not meta


def add_run_state(runner: Any, meta: dict[str, Any]) -> None:
    """Add to the meta information of a checkpoint what a resumed run needs; call it on all ranks.

    Args:
        runner: the runner.
        meta: of the checkpoint, its `epoch` and `iter` set.
    """
    from mmengine.dist import all_gather_object
    from mmengine.runner import EpochBasedTrainLoop

    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        batches = len(loop.dataloader)
        within = meta['epoch'] == loop._epoch_begun
        meta[BATCHES] = [meta['iter'] - loop._first_iter if within else 0, batches]
    # A validation leaves the generators as they were before it.
    own = getattr(runner, '_state_outside', None) or random_state()
    meta[STATES] = all_gather_object(own)


def mend_resuming() -> bool:
    """Restore random generators, and go on within an epoch, when a run is resumed."""
    from mmengine.hooks import CheckpointHook
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, ValLoop

    if not _saves_no_state(CheckpointHook):
        return False
    _extend(CheckpointHook, '_save_checkpoint_with_step', _save_with_state)
    _extend(Runner, 'build_train_loop', _build_with_seed)
    _extend(Runner, 'load_checkpoint', _load_noting_meta)
    _extend(Runner, 'resume', _resume_noting_meta)
    _extend(IterBasedTrainLoop, 'run', _run_iterations)
    _extend(ValLoop, 'run', _validate)
    EpochBasedTrainLoop._epoch_begun, EpochBasedTrainLoop._first_iter = -1, 0
    EpochBasedTrainLoop.run_epoch = _run_epoch
    return True


def _extend(owner: type, name: str, around: Any) -> None:
    """Replace a method by `around`, which gets it as its first argument."""
    method = getattr(owner, name)
    setattr(owner, name, functools.wraps(method)(
        lambda *args, **kwargs: around(method, *args, **kwargs)))


def _save_with_state(method: Any, hook: Any, runner: Any, step: int, meta: dict) -> None:
    add_run_state(runner, meta)
    method(hook, runner, step, meta)


def _build_with_seed(method: Any, runner: Any, loop: Any) -> Any:
    """Take the seed of the run that is resumed, unless the config sets one: the order of data."""
    from mmengine.runner import CheckpointLoader, find_latest_checkpoint

    settings = runner._randomness_cfg
    if runner._resume and not runner._has_loaded and settings.get('seed') is None:
        path = runner._load_from or find_latest_checkpoint(runner.work_dir)
        if path is not None:
            meta = CheckpointLoader.load_checkpoint(path, map_location='cpu').get('meta', {})
            settings.update(seed=meta.get('seed'))
            runner.set_randomness(**settings)
    return method(runner, loop)


def _load_noting_meta(method: Any, runner: Any, *args: Any, **kwargs: Any) -> Any:
    checkpoint = method(runner, *args, **kwargs)
    runner._loaded_meta = checkpoint.get('meta', {})
    return checkpoint


def _resume_noting_meta(method: Any, runner: Any, *args: Any, **kwargs: Any) -> None:
    method(runner, *args, **kwargs)
    runner._resumed_meta = vars(runner).pop('_loaded_meta', {})


def _restore(runner: Any, states: list | None) -> None:
    """Set the generators of this rank, if the checkpoint has their states."""
    from mmengine.logging import print_log

    if states is None:
        return
    if len(states) == runner.world_size:
        restore_random_state(states[runner.rank])
        return
    print_log(f'the checkpoint is of {len(states)} ranks, and there are {runner.world_size}: '
              'random generators are not restored', logger='current', level=logging.WARNING)


class _Advanced:
    """An iterator that calls back before its element number `skip`."""

    def __init__(self, iterator: Any, skip: int, callback: Any) -> None:
        self._iterator, self._left, self._callback = iterator, skip, callback

    def __getattr__(self, name: str) -> Any:
        return getattr(self._iterator, name)

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        if self._left == 0:
            self._callback()
        self._left -= 1
        return next(self._iterator)


def _run_iterations(method: Any, loop: Any) -> Any:
    states = vars(loop.runner).pop('_resumed_meta', {}).get(STATES)
    if states is not None:  # the loop itself goes through the batches that are done
        loop.dataloader_iterator = _Advanced(
            loop.dataloader_iterator, loop.iter, lambda: _restore(loop.runner, states))
    return method(loop)


def _run_epoch(loop: Any) -> None:
    """Iterate over the rest of an epoch; all of it, unless the run was stopped within."""
    from mmengine.logging import print_log

    runner = loop.runner
    meta = vars(runner).pop('_resumed_meta', {})
    done, batches = meta.get(BATCHES, (0, 0))
    if done and batches != len(loop.dataloader):
        print_log(f'the run was stopped in an epoch of {batches} batches, which has '
                  f'{len(loop.dataloader)} now: it begins anew', logger='current',
                  level=logging.WARNING)
        done = 0
    if not done:
        _restore(runner, meta.get(STATES))
    loop._epoch_begun, loop._first_iter = loop._epoch, loop._iter - done
    seed_workers(loop.dataloader, runner.seed, runner.rank, loop._epoch)
    runner.call_hook('before_train_epoch')
    runner.model.train()
    for idx, batch in enumerate(start_loader(loop.dataloader)):
        if idx >= done:
            loop.run_iter(idx, batch)
        elif idx + 1 == done:
            _restore(runner, meta.get(STATES))
    runner.call_hook('after_train_epoch')
    loop._epoch += 1


def _validate(method: Any, loop: Any) -> Any:
    """Validate without a trace in the generators, since a resumed run does not validate again."""
    runner, state = loop.runner, random_state()
    runner._state_outside = state
    try:
        return method(loop)
    finally:
        runner._state_outside = None
        restore_random_state(state)


REPAIRS = (
    RepairSpec(
        'mmengine-resume', 'mmengine',
        'mmengine 0.10.7 saves no state of random generators, gives a resumed run another order of '
        'data where the config has no seed, and begins an epoch anew that was stopped within',
        mend_resuming),
)
