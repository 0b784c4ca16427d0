"""Cost of one QASSO or HESSO step against foreach AdamW, stage by stage.

Each step of the pruning optimizer is timed next to one of AdamW on a copy of the model, so that a
ratio compares two moments close together. Steps that open or close a period are reported apart.

    python tools/analysis/optimizer_cost.py [CONFIG] [--optimizer qasso] [--steps 60]
"""
from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections import defaultdict
from types import SimpleNamespace

import torch
from mmengine.registry import init_default_scope
from torch import nn

import razor_ext  # noqa: F401  (repairs upstream, before anything of OpenMMLab is used)
from razor_ext.algorithms.geta import (
    HESSO,
    QASSO,
    BitRange,
    ChannelIndex,
    SparsityTarget,
    StagePlan,
)
from razor_ext.engine import load_tool_config
from razor_ext.graph import analyze

DEFAULT = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', nargs='?', default=DEFAULT,
                        help='config of a pose model, a file or package::path')
    parser.add_argument('--optimizer', choices=('qasso', 'hesso'), default='qasso')
    parser.add_argument('--variant', choices=('adamw', 'adam', 'sgd'), default='adamw')
    parser.add_argument('--implementation', choices=('auto', 'foreach', 'fused'), default='auto')
    parser.add_argument('--reference', choices=('foreach', 'fused'), default='foreach',
                        help='implementation of the AdamW to compare with')
    parser.add_argument('--steps', type=int, default=60, help='timed steps per stage')
    parser.add_argument('--periods', type=int, default=6, help='pruning periods')
    parser.add_argument('--sparsity', type=float, default=0.5)
    parser.add_argument('--learn-t', action='store_true', help='exponents of weights are learned')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=1)
    return parser.parse_args()


def build(config: str, device: str) -> tuple[nn.Module, dict]:
    """Build the model of a config without its checkpoint, and an input for tracing."""
    from mmpose.registry import MODELS
    from mmpose.utils import register_all_modules
    register_all_modules()
    cfg = load_tool_config(config)
    init_default_scope('mmpose')
    cfg.model.backbone.init_cfg = None
    width, height = cfg.codec.input_size
    inputs = {'inputs': torch.zeros(1, 3, height, width), 'data_samples': None, 'mode': 'tensor'}
    return MODELS.build(cfg.model).eval().to(device), inputs


def quantizers(model: nn.Module, learn_t: bool) -> list[SimpleNamespace]:
    """A weight and an activation quantizer for every convolution and linear layer."""
    result = []
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            for kind, weight in (('weight', module.weight), ('input', None)):
                q_m = module.weight.detach().abs().max().view(1)
                t = nn.Parameter(torch.zeros_like(q_m)) if learn_t and weight is not None else None
                result.append(SimpleNamespace(
                    name=f'{name}.{kind}', weight=weight, signed=True, log_t=t,
                    log_d=nn.Parameter((q_m / 2 ** 12).log()), log_q_m=nn.Parameter(q_m.log())))
    return result


def fill_gradients(optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for group in optimizer.param_groups:
        for p in group['params']:
            p.grad = (torch.randn(p.shape, generator=generator) * 1e-2).to(p.device)


def timed(step, device: str) -> float:
    """Milliseconds of a step: of this thread's processor time on a CPU, else of the clock."""
    if device == 'cpu' and torch.get_num_threads() == 1:
        start = time.thread_time()
        step()
        return (time.thread_time() - start) * 1e3
    torch.cuda.synchronize() if device != 'cpu' else None
    start = time.perf_counter()
    step()
    torch.cuda.synchronize() if device != 'cpu' else None
    return (time.perf_counter() - start) * 1e3


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    model, inputs = build(args.config, args.device)
    units = analyze(model, inputs).units
    plain = copy.deepcopy(model)
    period = -(-args.steps // args.periods) + 2
    plan = StagePlan(total=10 ** 6, warmup=args.steps, projection=args.steps,
                     pruning=period * args.periods, projection_periods=4,
                     pruning_periods=args.periods)
    common = {'lr': 1e-4, 'variant': args.variant, 'implementation': args.implementation,
              'plan': plan, 'target': SparsityTarget(args.sparsity),
              'groups': ChannelIndex(units, model.named_parameters(),
                                     [n for n, _ in model.named_buffers()])}
    if args.optimizer == 'hesso':
        scales, optimizer = [], HESSO(model.parameters(), **common)
    else:
        optimizer = QASSO(model.parameters(), handles=quantizers(model, args.learn_t),
                          weight_bits=BitRange(4, 8), **common)
        scales = copy.deepcopy(optimizer.bank.parameters())
    # AdamW gets the same tensors: the model's and as many scales.
    reference = torch.optim.AdamW([*plain.parameters(), *scales], lr=1e-4,
                                  **{args.reference: True})
    fill_gradients(optimizer, 0)
    fill_gradients(reference, 0)
    for _ in range(5):
        reference.step()
    rows = defaultdict(list)
    for step in range(2 * args.steps + plan.pruning + args.steps):
        stage = optimizer.stage
        if plan.opens(step) or plan.closes(step):
            stage += ' (period opens or closes)'
        base = timed(reference.step, args.device)
        rows[stage].append((timed(optimizer.step, args.device), base))
    print(f'{optimizer.index.total} channels in {len(units)} units, '
          f'{sum(p.numel() for p in plain.parameters())} parameters in '
          f'{len(list(plain.parameters()))} tensors, {args.optimizer} ({args.variant}, '
          f'{args.implementation}) against AdamW ({args.reference}), torch '
          f'{torch.__version__}, {args.device}, {args.threads} thread(s)')
    print(f'{"stage":36}{"steps":>6}{"ms":>9}{"AdamW ms":>10}'
          f'{"ratio min":>11}{"median":>8}{"max":>8}')
    for stage, pairs in rows.items():
        pairs = pairs[3:] if len(pairs) > 20 else pairs
        ratios = sorted(a / b for a, b in pairs)
        print(f'{stage:36}{len(pairs):6}{statistics.median(a for a, _ in pairs):9.2f}'
              f'{statistics.median(b for _, b in pairs):10.2f}{ratios[0]:11.2f}'
              f'{statistics.median(ratios):8.2f}{ratios[-1]:8.2f}')


if __name__ == '__main__':
    main()
