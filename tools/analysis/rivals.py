"""Pruning by other packages, for the comparisons."""
from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from benchmark import Benchmark


def torch_pruning(bench: Benchmark) -> nn.Module:
    """Cut by Torch-Pruning's global magnitudes until the MACs are met; its tracer takes no head.

    Args:
        bench: of a pose model, with a target of MACs.

    Raises:
        RuntimeError: the target was not reached.
    """
    import torch_pruning as tp
    model, ratio = bench.dense().eval(), bench.target['ratio']
    example = bench.example(model)['inputs']
    pruner = tp.pruner.MagnitudePruner(
        model, example, tp.importance.MagnitudeImportance(p=1), global_pruning=True,
        pruning_ratio=0.98, max_pruning_ratio=0.9, iterative_steps=200, round_to=bench.divisor,
        ignored_layers=[m for name, m in model.head.named_modules() if name],
        forward_fn=lambda net, x: net(x, None))
    for _ in range(200):
        pruner.step()
        left = bench.costs(model)['macs'] / bench.dense_costs['macs']
        if left <= ratio:
            return model
    raise RuntimeError(f'Torch-Pruning left {left:.3f} of the MACs, not {ratio}')
