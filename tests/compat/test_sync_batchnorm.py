"""SyncBatchNorm of two CPU processes: the same as one process over the joined batch."""
from __future__ import annotations

import pytest

RANKS = '''
import copy, sys, tempfile, torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

def make(kind):
    torch.manual_seed(0)
    layer = nn.BatchNorm2d(6)
    nn.init.uniform_(layer.weight)
    nn.init.uniform_(layer.bias)
    if kind == 'dynamic':
        from mmrazor.models.architectures.dynamic_ops import DynamicSyncBatchNorm
        synced = DynamicSyncBatchNorm(6)
        synced.load_state_dict(layer.state_dict())
    else:
        synced = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(layer))
    return layer, synced

def rank_main(rank, kind, store):
    dist.init_process_group('gloo', init_method='file://' + store, rank=rank, world_size=2)
    layer, synced = make(kind)
    torch.manual_seed(1)
    images = torch.randn(5, 6, 3, 4, dtype=torch.float32) * 3 + 2
    images.requires_grad_()
    part = slice(0, 2) if rank == 0 else slice(2, 5)   # unequal shares
    weights = torch.randn(5, 6, 3, 4)
    (layer(images) * weights).sum().backward()
    own = images[part].detach().requires_grad_()
    (synced(own) * weights[part]).sum().backward()
    close = torch.testing.assert_close
    close(own.grad, images.grad[part], rtol=1e-4, atol=1e-5)
    for name in ('weight', 'bias'):
        total = getattr(synced, name).grad.clone()
        dist.all_reduce(total)
        close(total, getattr(layer, name).grad, rtol=1e-4, atol=1e-5)
    close(synced.running_mean, layer.running_mean)
    close(synced.running_var, layer.running_var)
    assert int(synced.num_batches_tracked) == 1
    close(synced.eval()(images), layer.eval()(images))
    print('rank', rank, 'agrees', flush=True)

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        mp.start_processes(rank_main, args=(sys.argv[1], folder + '/store'), nprocs=2,
                           start_method='fork')
'''
MMRAZOR = ('mmcv-ops', 'mmrazor-quantization')
CASES = [('plain', 'torch-sync-batch-norm', 'GPU'),
         ('dynamic', 'mmrazor-dynamic-sync-batch-norm', 'SyncBatchNorm expected input tensor')]


def with_kind(kind: str) -> str:
    return RANKS.replace('sys.argv[1]', repr(kind))


@pytest.mark.parametrize(('kind', 'name', 'message'), CASES)
def test_fault(run_repaired, kind, name, message):
    result = run_repaired(with_kind(kind), keep=MMRAZOR)
    assert 'agrees' not in result.stdout
    assert message in result.stderr


@pytest.mark.parametrize(('kind', 'name', 'message'), CASES)
def test_two_ranks_equal_one(run_repaired, kind, name, message):
    result = run_repaired(with_kind(kind), keep=(*MMRAZOR, name))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('agrees') == 2


def test_repairs_are_made_once():
    from razor_ext.compat import sync_batchnorm

    assert not sync_batchnorm.patch_torch()
    assert not sync_batchnorm.patch_mmrazor()
