"""The rows of a comparison: recipes of configs/pruning/_base_, told what a benchmark asks."""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from torch import nn

if TYPE_CHECKING:
    from benchmark import Benchmark

RECIPES = Path(__file__).parents[2] / 'configs' / 'pruning' / '_base_'


@dataclass(frozen=True)
class Method:
    """One way to compress: a row of a comparison.

    Args:
        recipe: file of configs/pruning/_base_ that holds algorithm, optimizer and hooks; None where
            nothing of this package prunes.
        algorithm: settings over the recipe's algorithm.
        optim: settings over `optim_wrapper`; its `lr_ratio` is 1 unless set here.
        prune: share of the training that the pruning run takes; the rest finetunes.
        seeded: whether the algorithm takes the seed too.
        cut: makes the pruned model in place of a recipe.
        trained: whether it is trained at all.
        int8: whether the finished model is also quantized to static 8 bits.
    """

    recipe: str | None = None
    algorithm: Mapping[str, Any] = field(default_factory=dict)
    optim: Mapping[str, Any] = field(default_factory=dict)
    prune: float = 1.0
    seeded: bool = False
    cut: Callable[[Benchmark], nn.Module] | None = None
    trained: bool = True
    int8: bool = False

    def settings(self, bench: Benchmark) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the configs of the algorithm, of `optim_wrapper` and of the hooks of a run.

        Args:
            bench: says what is to be left of which model.
        """
        name = self.recipe
        base = Config.fromfile(RECIPES / f'{name}.py')
        own = ARGUMENTS.get(base[name]['type'].rpartition('.')[2], graph_arguments)
        arguments, hooks = own(bench, base[name], base[f'{name}_hooks'])
        model = {**base[name], **arguments, **self.algorithm}
        if self.seeded:
            model['seed'] = bench.seed
        return model, {**base[f'{name}_optim'], 'lr_ratio': 1.0, **self.optim}, hooks


def graph_arguments(bench: Benchmark, algorithm: Mapping[str, Any], hooks: Mapping[str, Any]
                    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return what the benchmark asks as arguments of an algorithm over the dependency graph.

    Args:
        bench: asks.
        algorithm: the recipe's config of it.
        hooks: the recipe's, by name.

    Returns:
        The arguments, and the hooks that go with them.
    """
    return dict(architecture=bench.cfg.model, checkpoint=bench.checkpoint, target=bench.target,
                divisor=bench.divisor), hooks


def mmrazor_arguments(bench: Benchmark, algorithm: Mapping[str, Any], hooks: Mapping[str, Any]
                      ) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return what the benchmark asks as arguments of MMRazor's GroupFisher; see `graph_arguments`.

    Raises:
        ValueError: the target is no share of the MACs.
    """
    if bench.target['kind'] != 'macs':
        raise ValueError(f"MMRazor's GroupFisher knows a share of the MACs, not {bench.target}")
    ratio = bench.target['ratio']
    weights = dict(type='Pretrained', checkpoint=bench.checkpoint)
    # The run goes on to its end, as those of the others do.
    resource = dict(hooks['resource'], save_ckpt_thr=[ratio], early_stop=False,
                    demo_input=dict(type='mmrazor.FamilyDemoInput'))
    return dict(architecture=dict(bench.cfg.model, init_cfg=weights), target_flop_ratio=ratio,
                mutator=dict(algorithm['mutator'], divisor=bench.divisor)
                ), dict(hooks, resource=resource)


#: How an algorithm is told the target, by its type; `graph_arguments` for all others.
ARGUMENTS = {'GroupFisherAlgorithm': mmrazor_arguments}
