"""Compare compression methods at equal MACs and equal training, from one dense checkpoint.

Every method trains for the same number of epochs after the dense model: GETA and HESSO prune within
them, GroupFisher prunes in the first half and is finetuned in the second, uniform L1 and
Torch-Pruning cut at once and are finetuned. What is pruned in float is then also quantized after
training, to static 8 bits.

    python tools/analysis/compare_methods.py CONFIG CHECKPOINT --ratio 0.5 --seeds 0 1 2 --epochs 5
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
from rivals import format_rows, keep_best, l1_scores, uniform_counts
from torch import nn

import razor_ext  # noqa: F401  (repairs upstream, before anything of OpenMMLab is used)
from razor_ext.algorithms.geta.saliency import PUBLISHED
from razor_ext.engine import load_tool_config, write_json
from razor_ext.graph import analyze, slice_model
from razor_ext.pruning import extract
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    count_costs,
    fix_bits,
    quantize_model,
    summarize_costs,
)

CONFIGS = Path(__file__).parents[2] / 'configs' / 'pruning' / '_base_'
METRIC = 'coco/AP'
FORMATS = {'AP': '.4f', 'MACs': '.3f', 'relative BOPs': '.4f', 'params': '.0f'}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--ratio', type=float, default=0.5, help='share of the MACs to leave')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='paired seeds')
    parser.add_argument('--epochs', type=int, default=5, help='training after the dense model')
    parser.add_argument('--lr', type=float, default=5e-4)
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    parser.add_argument('--work-dir', default='work_dirs/compare_methods')
    parser.add_argument('--num-images', type=int, help='fewer training images')
    return parser.parse_args()


class Bench:
    """The dense model, its data, and how it is trained and tested.

    Args:
        args: the command line.
        seed: of this turn.
    """

    def __init__(self, args: argparse.Namespace, seed: int) -> None:
        self.args, self.seed = args, seed
        self.cfg = load_tool_config(args.config)
        self.cfg.model['_scope_'] = self.cfg.default_scope
        if args.num_images:
            self.cfg.train_dataloader.dataset.num_images = args.num_images
        init_default_scope(self.cfg.default_scope)
        height, width = self.cfg.codec.input_size[::-1]
        self.shape = (1, 3, height, width)
        self.turn = 0

    @property
    def architecture(self) -> dict:
        """Config of the dense model with its checkpoint."""
        return {**self.cfg.model, 'init_cfg': dict(type='Pretrained',
                                                   checkpoint=self.args.checkpoint)}

    def dense(self) -> nn.Module:
        """Build the dense model with its weights."""
        from mmrazor.registry import MODELS
        model = MODELS.build(copy.deepcopy(self.cfg.model))
        load_checkpoint(model, self.args.checkpoint, map_location='cpu')
        return model

    def data(self, model: nn.Module) -> dict:
        """One example input."""
        return dict(inputs=torch.zeros(self.shape), data_samples=None, mode='tensor')

    def runner(self, model: nn.Module | dict, epochs: int, optimizer: dict, hooks: list,
               **wrapper: object) -> Runner:
        """Build a runner over a model or its config."""
        self.turn += 1
        cfg = copy.deepcopy(self.cfg)
        if isinstance(model, dict):
            cfg.model = model
        optim = {**cfg.optim_wrapper, **wrapper}
        optim['optimizer'] = {'weight_decay': optim['optimizer']['weight_decay'],
                              'lr': self.args.lr, **optimizer}
        schedule = [dict(type='LinearLR', start_factor=.1, by_epoch=False, begin=0, end=20)]
        if epochs > 1:
            schedule.append(dict(type='CosineAnnealingLR', eta_min_ratio=.05, begin=epochs // 2,
                                 end=epochs, T_max=epochs - epochs // 2, by_epoch=True,
                                 convert_to_iter_based=True))
        work_dir = Path(self.args.work_dir) / f'seed{self.seed}' / str(self.turn)
        return Runner(
            model=model, work_dir=str(work_dir), cfg=cfg, default_scope=cfg.default_scope,
            train_dataloader=cfg.train_dataloader, test_dataloader=cfg.test_dataloader,
            test_cfg=cfg.test_cfg, test_evaluator=cfg.test_evaluator,
            train_cfg=dict(by_epoch=True, max_epochs=max(epochs, 1)), optim_wrapper=optim,
            param_scheduler=schedule, custom_hooks=hooks, randomness=dict(seed=self.seed),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=max(epochs, 1))),
            experiment_name=f'compare{self.turn}', log_level='WARNING')

    def finetune(self, model: nn.Module, epochs: int) -> nn.Module:
        """Train a static model."""
        model.init_weights = lambda: None
        run = self.runner(model, epochs, dict(type='AdamW'), [])
        run.train()
        return run.model

    def geta(self, epochs: int, optimizer: dict, **options: object) -> nn.Module:
        """Compress in a GETA run; return the sliced model."""
        base = Config.fromfile(CONFIGS / 'geta.py')
        model = {**base.geta, 'architecture': self.architecture, 'divisor': 8,
                 'target': dict(kind='macs', ratio=self.args.ratio), **options}
        run = self.runner(model, epochs, optimizer, list(base.geta_hooks.values()),
                          constructor=base.geta_optim.constructor)
        run.train()
        from mmrazor.registry import MODELS
        return MODELS.build(dict(type='mmrazor.CompressedModel', compressed=run.work_dir))

    def test(self, model: nn.Module) -> dict[str, float]:
        """Evaluate a model and count it."""
        model.init_weights = lambda: None
        run = self.runner(model, 0, dict(type='AdamW'), [])
        score = run.test()[METRIC]
        static = model.cpu().eval()
        dense_macs = summarize_costs(count_costs(self.dense(), self.data(static)))['macs']
        costs = summarize_costs(count_costs(static, self.data(static)), dense_macs)
        return {'AP': score, 'MACs': costs['macs'] / dense_macs,
                'relative BOPs': costs['relative_bops'], 'params': costs['params']}

    def static_int8(self, model: nn.Module) -> nn.Module:
        """Quantize a finished float model to 8 bits from a few batches, without training."""
        model = copy.deepcopy(model).eval()
        loader = Runner.build_dataloader(self.cfg.train_dataloader, seed=self.seed)
        batches = [model.data_preprocessor(batch, False)['inputs'] for _, batch in
                   zip(range(8), loader)]
        quantize_model(model, QuantConfig(weight_bits=(8, 8), activation_bits=(8, 8),
                                          weight_granularity='channel', weight_power=False))
        calibrate(model, [(batch, None) for batch in batches])
        fix_bits(model)
        return model


def uniform_l1(bench: Bench) -> nn.Module:
    """Keep the same share of the channels of every unit, those of largest L1 norm."""
    model = bench.dense().eval()
    graph = analyze(model, bench.data(model))
    keep = keep_best(l1_scores(model, graph), uniform_counts(graph, bench.args.ratio, 8))
    return bench.finetune(slice_model(model, graph, keep), bench.args.epochs)


def torch_pruning(bench: Bench) -> nn.Module:
    """Cut by Torch-Pruning's global magnitudes until the MACs are met; its tracer takes no head."""
    import torch_pruning as tp
    model = bench.dense().eval()
    example = torch.zeros(bench.shape)
    whole = summarize_costs(count_costs(model, bench.data(model)))['macs']
    pruner = tp.pruner.MagnitudePruner(
        model, example, tp.importance.MagnitudeImportance(p=1), global_pruning=True,
        pruning_ratio=0.98, max_pruning_ratio=0.9, iterative_steps=200, round_to=8,
        ignored_layers=[m for name, m in model.head.named_modules() if name],
        forward_fn=lambda net, x: net(x, None))
    for _ in range(200):
        pruner.step()
        left = summarize_costs(count_costs(model, bench.data(model)))['macs']
        if left <= bench.args.ratio * whole:
            return bench.finetune(model, bench.args.epochs)
    raise RuntimeError(f'Torch-Pruning left {left / whole:.3f} of the MACs, not {bench.args.ratio}')


def group_fisher(bench: Bench) -> nn.Module:
    """Prune by MMRazor's GroupFisher in the first half of the epochs, finetune in the second."""
    base = Config.fromfile(CONFIGS / 'group_fisher_mmrazor.py')
    model = {**base.group_fisher_mmrazor, 'architecture': bench.architecture, 'interval': 10,
             'target_flop_ratio': bench.args.ratio, 'prune_end': 0.8}
    model['mutator'] = {**model['mutator'], 'divisor': 8}
    named = base.group_fisher_mmrazor_hooks
    named.resource.update(
        save_ckpt_thr=[bench.args.ratio], early_stop=False,
        demo_input=dict(type='mmrazor.DefaultDemoInput', input_shape=bench.shape))
    hooks = list(named.values())
    half = max(bench.args.epochs // 2, 1)
    run = bench.runner(model, half, dict(type='AdamW', lr=bench.args.lr * 0.3), hooks)
    run.train()
    cfg = Config(dict(model=model, default_scope=bench.cfg.default_scope))
    pruned, _ = extract(cfg, str(next(Path(run.work_dir).glob('flops_*.pth'))))
    return bench.finetune(pruned.model, bench.args.epochs - half)


def _geta(quant: dict | None, kind: str = 'QASSO') -> Callable[[Bench], nn.Module]:
    def compress(bench: Bench) -> nn.Module:
        optimizer = dict(type=kind, variant='adamw')
        if kind == 'QASSO':
            optimizer['lr_quant'] = 1e-3
        else:
            optimizer['saliency'] = dict(weights=PUBLISHED)
        return bench.geta(bench.args.epochs, optimizer, quant=quant)
    return compress


#: Name -> what makes the compressed model; float ones are also quantized after training.
METHODS: dict[str, Callable[[Bench], nn.Module]] = {
    'dense': lambda bench: bench.dense(),
    'dense, trained on': lambda bench: bench.finetune(bench.dense(), bench.args.epochs),
    'GETA 8 bit': _geta(dict(weight_bits=(6, 8), activation_bits=(8, 8))),
    'GETA 4 bit': _geta(dict(weight_bits=(3, 5), activation_bits=(4, 5))),
    'GETA prune': _geta(None),
    'HESSO': _geta(None, 'HESSO'),
    'GroupFisher': group_fisher,
    'uniform L1': uniform_l1,
    'Torch-Pruning': torch_pruning,
}


def main() -> None:
    """Run every method on every seed; print the table after each, and keep the figures."""
    args = parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = defaultdict(list)
    for seed in args.seeds:
        for name in args.methods:
            bench = Bench(args, seed)
            bench.turn = 100 * list(METHODS).index(name)
            model = METHODS[name](bench)
            rows[name].append(bench.test(model))
            if rows[name][-1]['relative BOPs'] > 0.9 * rows[name][-1]['MACs']:
                rows[f'{name}, int8 after'].append(bench.test(bench.static_int8(model)))
            write_json(Path(args.work_dir) / 'figures.json', rows)
            print(format_rows(rows, FORMATS, 'AP'), flush=True)


if __name__ == '__main__':
    main()
