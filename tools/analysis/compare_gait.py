"""Compare ways to compress a gait model at equal MACs and equal training, from one checkpoint.

Every method trains for the same number of iterations after the dense model: GETA prunes (and
quantizes) within them; uniform L1, Taylor and random masks cut at once and are finetuned.

    python tools/analysis/compare_gait.py CONFIG CHECKPOINT --ratio 0.5 --seeds 0 1 2 --iters 400
"""
from __future__ import annotations

import argparse
import copy
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from rivals import format_rows, keep_best, l1_scores, uniform_counts, unit_sums
from torch import Tensor, nn

import razor_ext  # noqa: F401  (repairs upstream, before anything of OpenMMLab is used)
from razor_ext.engine import load_tool_config, write_json
from razor_ext.graph import ChannelGraph, analyze, slice_model
from razor_ext.quantization import count_costs, summarize_costs

BASE = Path(__file__).parents[2] / 'configs' / 'pruning' / '_base_' / 'geta.py'
CONDITIONS = ('NM', 'BG', 'CL')
FORMATS = {**dict.fromkeys(CONDITIONS, '.1f'), 'MACs': '.3f', 'params': '.3f',
           'relative BOPs': '.4f'}
SHAPE = (1, 1, 6, 64, 44)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    target = parser.add_mutually_exclusive_group()
    target.add_argument('--ratio', type=float, default=0.5, help='share of the MACs to leave')
    target.add_argument('--sparsity', type=float, help='share of all channels that GETA prunes; '
                        'the others get the MACs that the first method, one of GETA, left')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='paired seeds')
    parser.add_argument('--iters', type=int, default=400, help='training after the dense model')
    parser.add_argument('--lr', type=float, default=0.02)
    parser.add_argument('--divisor', type=int, default=4)
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--work-dir', default='work_dirs/compare_gait')
    args = parser.parse_args()
    if args.sparsity and args.methods[0] not in GETA:
        parser.error(f'--sparsity {args.sparsity} is for GETA: name one of its methods first in '
                     f'--methods, not {args.methods[0]!r}')
    return args


class Bench:
    """The dense model, its data, and how it is trained and tested.

    Args:
        args: the command line.
        method: name of what is compared.
        seed: of this turn.
        ratio: share of the MACs to leave.
    """

    def __init__(self, args: argparse.Namespace, method: str, seed: int, ratio: float) -> None:
        self.args, self.seed, self.ratio = args, seed, ratio
        self.cfg = load_tool_config(args.config)
        self.cfg.model.update(_scope_=self.cfg.default_scope, tensor_output='logits')
        self.work_dir = Path(args.work_dir) / f'seed{seed}' / method.replace(' ', '_')
        init_default_scope(self.cfg.default_scope)

    def dense(self) -> nn.Module:
        """Build the dense model with its weights."""
        from mmrazor.registry import MODELS
        model = MODELS.build(copy.deepcopy(self.cfg.model))
        load_checkpoint(model, self.args.checkpoint, map_location='cpu')
        return model

    def runner(self, model: nn.Module | dict, optimizer: dict, hooks: list, **wrapper: object
               ) -> Runner:
        """Build a runner over a model or its config."""
        cfg, iters = copy.deepcopy(self.cfg), self.args.iters
        if isinstance(model, dict):
            cfg.model = model
        optim = {**cfg.optim_wrapper, **wrapper}
        optim['optimizer'] = {**optim['optimizer'], 'lr': self.args.lr, **optimizer}
        return Runner(
            model=model, work_dir=str(self.work_dir), cfg=cfg, default_scope=cfg.default_scope,
            train_dataloader=cfg.train_dataloader, test_dataloader=cfg.test_dataloader,
            test_cfg=dict(), test_evaluator=cfg.test_evaluator,
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=iters), optim_wrapper=optim,
            param_scheduler=dict(type='MultiStepLR', by_epoch=False, gamma=.1,
                                 milestones=[iters * 7 // 10, iters * 9 // 10]),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False,
                                               interval=iters)),
            custom_hooks=hooks, randomness=dict(seed=self.seed), log_level='WARNING',
            experiment_name=str(self.work_dir).replace('/', '_'))

    def finetune(self, model: nn.Module) -> nn.Module:
        """Train a static model."""
        model.init_weights = lambda: None
        run = self.runner(model, {}, [])
        run.train()
        return run.model

    def geta(self, quant: dict | None) -> nn.Module:
        """Compress in a GETA run; return the sliced model."""
        from mmrazor.registry import MODELS
        base = Config.fromfile(BASE)
        target = dict(kind='macs', ratio=self.args.ratio)
        if self.args.sparsity:
            target = dict(kind='sparsity', ratio=self.args.sparsity)
        model = {**base.geta, 'architecture': self.cfg.model, 'checkpoint': self.args.checkpoint,
                 'quant': quant, 'target': target, 'divisor': self.args.divisor}
        run = self.runner(model, dict(type='QASSO', variant='sgd', lr_quant=1e-3),
                          list(base.geta_hooks.values()),
                          constructor=base.geta_optim.constructor)
        run.train()
        return MODELS.build(dict(type='mmrazor.CompressedModel', compressed=run.work_dir))

    def test(self, model: nn.Module) -> dict[str, float]:
        """Evaluate a model, and count what is deployed of it."""
        model.init_weights = lambda: None
        metrics = self.runner(model, {}, []).test()
        whole, left = self.dense().eval(), copy.deepcopy(model).cpu().eval()
        dense, costs = (summarize_costs(count_costs(m.switch_to_deploy(), torch.zeros(SHAPE)))
                        for m in (whole, left))
        return {**{key: metrics[f'gait/{key}'] for key in CONDITIONS},
                'MACs': costs['macs'] / dense['macs'], 'params': costs['params'] / dense['params'],
                'relative BOPs': costs['bops'] / (dense['macs'] * 1024)}


def taylor_gradients(bench: Bench, model: nn.Module, batches: int = 8) -> list[dict[str, Tensor]]:
    """Gradients of the loss on training batches, as in training mode but for the statistics."""
    loader = Runner.build_dataloader(bench.cfg.train_dataloader, seed=bench.seed)
    model.eval()
    found = []
    for _, batch in zip(range(batches), loader):
        model.zero_grad()
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
        sum(value for key, value in losses.items() if key.startswith('loss')).backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters()
                      if p.grad is not None})
    model.zero_grad()
    return found


def taylor_scores(bench: Bench, model: nn.Module, graph: ChannelGraph) -> dict[str, Tensor]:
    """Squared first-order change of the loss (Molchanov et al., CVPR 2019)."""
    scores: dict[str, Tensor] = {}
    for gradients in taylor_gradients(bench, model):
        sums = unit_sums(graph, {name: p.detach() * gradients[name]
                                 for name, p in model.named_parameters() if name in gradients})
        scores = {name: scores.get(name, 0) + value.square() for name, value in sums.items()}
    return scores


def random_scores(bench: Bench, model: nn.Module, graph: ChannelGraph) -> dict[str, Tensor]:
    """Chance."""
    generator = torch.Generator().manual_seed(bench.seed)
    return {u.name: torch.rand(u.num_channels, generator=generator) for u in graph.units}


def _cut(score: Callable[[Bench, nn.Module, ChannelGraph], dict[str, Tensor]]
         ) -> Callable[[Bench], nn.Module]:
    def compress(bench: Bench) -> nn.Module:
        model = bench.dense().eval()
        graph = analyze(model, torch.rand(SHAPE))
        keep = keep_best(score(bench, model, graph),
                         uniform_counts(graph, bench.ratio, bench.args.divisor))
        return bench.finetune(slice_model(model, graph, keep))
    return compress


GETA = ('GETA 8 bit', 'GETA prune')
#: Name -> what makes the compressed model.
METHODS: dict[str, Callable[[Bench], nn.Module]] = {
    'dense': lambda bench: bench.dense(),
    'GETA 8 bit': lambda bench: bench.geta(dict(weight_bits=(6, 8), activation_bits=(8, 8))),
    'GETA prune': lambda bench: bench.geta(None),
    'uniform L1': _cut(lambda bench, model, graph: l1_scores(model, graph)),
    'Taylor': _cut(taylor_scores),
    'random': _cut(random_scores),
    'dense, trained on': lambda bench: bench.finetune(bench.dense()),
}


def main() -> None:
    """Run every method on every seed; print the table after each, and keep the figures."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in args.seeds:
        ratio = args.ratio
        for name in args.methods:
            if name == 'dense' and rows[name]:
                continue
            bench = Bench(args, name, seed, ratio)
            rows[name].append(bench.test(METHODS[name](bench)))
            if args.sparsity and name == args.methods[0]:
                ratio = rows[name][-1]['MACs']
            write_json(Path(args.work_dir) / 'figures.json', rows)
            print(format_rows(rows, FORMATS, 'CL'), flush=True)


if __name__ == '__main__':
    main()
