from __future__ import annotations

import pytest
import torch
import torch.multiprocessing as mp

from razor_ext.gait.models import PartCrossEntropyLoss, PartTripletLoss
from razor_ext.gait.models.losses import batch_all_triplet

from . import gait_reference as ref


@pytest.mark.smoke
@pytest.mark.parametrize('labels', [[0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 2], [0, 1, 2], [3, 3, 3]])
@pytest.mark.parametrize('scale', [0.05, 1.0])
def test_triplet_parity(labels, scale):
    torch.manual_seed(len(labels))
    x = (scale * torch.randn(len(labels), 6, 3)).requires_grad_()
    labels = torch.tensor(labels)
    loss, nonzero = batch_all_triplet(x, labels, 0.2)
    expected, count = ref.triplet_loss(x.detach(), labels, 0.2)
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    assert nonzero.item() == pytest.approx(count)
    loss.backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize(('scale', 'smoothing'), [(16, 0.1), (1, 0.0), (1, 0.1)])
def test_cross_entropy_parity(scale, smoothing):
    torch.manual_seed(0)
    logits, labels = torch.rand(5, 7, 3) * 2 - 1, torch.tensor([0, 6, 3, 3, 1])
    loss = PartCrossEntropyLoss(scale, smoothing)(logits, labels)
    expected = ref.cross_entropy(logits, labels, scale, smoothing)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def _rank(rank, path, x, labels, queue):
    torch.distributed.init_process_group('gloo', f'file://{path}', rank=rank, world_size=2)
    mine = x[rank::2].clone().requires_grad_()
    loss, _ = PartTripletLoss()(mine, labels[rank::2])
    loss.backward()
    queue.put((rank, loss.item(), (mine.grad / 2).tolist()))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_ranks_have_the_gradient_of_one(tmp_path):
    torch.manual_seed(1)
    x, labels = torch.randn(8, 4, 2), torch.tensor([0, 0, 1, 1, 2, 2, 2, 0])
    context = mp.get_context('spawn')
    queue = context.Queue()
    workers = [context.Process(target=_rank, args=(r, tmp_path / 'store', x, labels, queue))
               for r in range(2)]
    for w in workers:
        w.start()
    results = {r: (loss, grad) for r, loss, grad in (queue.get(timeout=120) for _ in workers)}
    for w in workers:
        w.join()
    x.requires_grad_()
    loss, _ = PartTripletLoss()(x, labels)
    loss.backward()
    for rank, (rank_loss, grad) in results.items():
        assert rank_loss / 2 == pytest.approx(loss.item(), abs=1e-6)
        assert torch.allclose(torch.tensor(grad), x.grad[rank::2], atol=1e-6)
