"""From a command line to a Runner, for training and for testing."""
from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner

from .config_check import check_config
from .errors import RunError
from .families import families, set_demo_input
from .option_action import OptionAction
from .tool_config import merge_options, read_config


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training and testing share, as MMPose's tools have them."""
    parser.add_argument('config', help='config file path')
    parser.add_argument('--work-dir', help='the directory to save logs and models')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionAction,
        help='override settings of the config, key=value; lists as key="[a,b]" or key=a,b')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none',
                        help='job launcher')
    parser.add_argument('--show-dir', help='directory where visualized images are saved')
    parser.add_argument('--show', action='store_true', help='display predictions in a window')
    parser.add_argument('--interval', type=int, default=1, help='visualize every n-th sample')
    parser.add_argument('--wait-time', type=float, default=1, help='seconds a window stays')
    # torch.distributed.launch passes --local-rank since torch 2.0, --local_rank before.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def load_config(args: argparse.Namespace, *, extra_keys: tuple[str, ...] = ()) -> Config:
    """Load the config of a command line, check it and apply the common options.

    Args:
        args: parsed command line of `add_common_arguments`.
        extra_keys: top-level keys that the calling tool reads besides the Runner's.

    Returns:
        The config, with work_dir and launcher set.

    Raises:
        FileNotFoundError: the config does not exist.
        ConfigFileError: it cannot be read, or an option does not fit it.
        UnreadKeyError: the config or an option holds a key that nothing reads.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = read_config(args.config)
    check_config(cfg, extra_keys, args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs') / Path(args.config).stem)
    if args.show or args.show_dir is not None:
        hook = cfg.get('default_hooks', {}).get('visualization')
        if hook is None:
            raise ValueError('--show and --show-dir need a visualization hook in default_hooks: '
                             "visualization=dict(type=...)")
        hook.update(enable=True, show=args.show, out_dir=args.show_dir, interval=args.interval,
                    wait_time=args.wait_time)
    if args.cfg_options is not None:
        merge_options(cfg, args.cfg_options)
    set_demo_input(cfg)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the Runner of a config, on a GPU or without one.

    Args:
        cfg: a config of `load_config`.

    Returns:
        The runner, its process group initialised.
    """
    if cfg.launcher == 'pytorch' and not torch.cuda.is_available():
        _prepare_cpu_group(cfg)
    preprocess = cfg.get('preprocess_cfg')
    if preprocess is not None:
        cfg.model.setdefault('data_preprocessor', preprocess)
    runner = Runner.from_cfg(cfg)
    for family in families():
        for name in family.hooks:
            runner.register_hook(dict(type=name))
    return runner


def check_precision(cfg: Config) -> None:
    """Refuse a training in mixed precision where there is no accelerator.

    Args:
        cfg: config of a training.

    Raises:
        RunError: its `optim_wrapper` is mixed-precision, and there is none.
    """
    kind = str((cfg.get('optim_wrapper') or {}).get('type', ''))
    if kind.rpartition('.')[2] == 'AmpOptimWrapper' and get_device() == 'cpu':
        raise RunError(f'optim_wrapper.type={kind!r} trains in mixed precision, which needs a GPU, '
                       'and none is found here: leave out --amp, or give the config an '
                       'optim_wrapper of type OptimWrapper')


def leave_group() -> None:
    """Leave the process group, all ranks together.

    A thread of gloo that outlives the interpreter aborts the process, after all work is done.
    """
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _prepare_cpu_group(cfg: Config) -> None:
    """Start a gloo group: MMEngine's own start selects a CUDA device whatever the backend."""
    if not dist.is_initialized():
        dist.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        type='MMDistributedDataParallel', broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))
    wrapper['device_ids'] = None
    cfg.model_wrapper_cfg = wrapper
    print_log('no CUDA device: the ranks talk over gloo', logger='current')
