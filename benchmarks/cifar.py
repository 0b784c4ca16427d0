"""Methods on ResNet-20 and CIFAR-10 as JPEG, from one dense model, trained equally long.

    python benchmarks/cifar.py run FOLDER --steps 700 --seeds 0 1 2 --out results.json
    python benchmarks/cifar.py table results.json

FOLDER holds `train.npz`, `test.npz` and `resnet20.th`. Figures are of the validation part, which is
held out of the training images, unless --part test is given. What is in the file already is not run
again.
"""
from __future__ import annotations

import argparse
import copy
import datetime
import json
import math
import platform
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from cifar_data import accuracy, batches, images, published
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

import razor_ext
from razor_ext.distillation import logits_loss
from razor_ext.engine import write_json
from razor_ext.quantization import count_costs, summarize_costs

EXAMPLE = torch.zeros(1, 3, 32, 32)
STAGES = dict(warmup=.02, projection=.08, pruning=.2, projection_periods=3, pruning_periods=5)
HALF = dict(kind='macs', ratio=.5)


def quant(low: int, high: int, **options: Any) -> dict[str, Any]:
    """Return a range of bit widths for weights and activations."""
    return dict(weight_bits=(low, high), activation_bits=(low, high), **options)


#: Methods by name: stages of (share of the steps, settings of `razor_ext.compress`, None to train
#: as ever), and whether the dense model teaches.
METHODS: dict[str, tuple[list[tuple[float, dict[str, Any] | None]], bool]] = {
    'GETA, 8 bits': ([(1., dict(target=HALF, quant=quant(8, 8), stages=STAGES))], False),
    'GETA, 8 bits, distilled': ([(1., dict(target=HALF, quant=quant(8, 8), stages=STAGES))], True),
    'L1, then QAT int8': ([(.5, dict(method='L1Pruning', target=HALF)),
                           (.5, dict(quant=quant(8, 8), target=None, stages=STAGES))], False),
    'QAT int8': ([(1., dict(quant=quant(8, 8), target=None, stages=STAGES))], False),
    'dense, trained on': ([(1., None)], False),
    'GETA, BOPs .02, 4 to 8 bits': ([(1., dict(
        target=dict(kind='bops', ratio=.02), quant=quant(4, 8), stages=STAGES))], False),
    'QAT 3 bits': ([(1., dict(quant=quant(3, 3), target=None, stages=STAGES))], False),
    'GETA, 2 to 8 bits, BOPs of 3': ([(1., dict(
        quant=quant(2, 8, mean_bits=3), target=None, stages=STAGES))], False),
}


class Bench:
    """Trains methods from one dense model.

    Args:
        folder: data and weights.
        steps: of every method, and of the dense model before.
        part: 'val' or 'test'.
        count: training images.
    """

    def __init__(self, folder: Path, steps: int, part: str, count: int) -> None:
        self.steps = steps
        self.train, self.judge = images(folder, 'train', count), images(folder, part, 10000)
        self.dense = published(folder).train()
        self._fit(self.dense, self._optimizer(self.dense), 99, steps, None)
        self.macs = self._costs(self.dense)['macs']

    @staticmethod
    def _optimizer(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), 1e-2, momentum=.9, weight_decay=1e-4,
                               nesterov=True)

    def _fit(self, model: nn.Module, optimizer: torch.optim.Optimizer, seed: int, steps: int,
             teacher: nn.Module | None) -> None:
        schedule = CosineAnnealingLR(optimizer, steps)
        for x, y in batches(*self.train, seed, steps):
            optimizer.zero_grad()
            output = model(x)
            loss = F.cross_entropy(output, y)
            if teacher is not None:
                with torch.no_grad():
                    wanted = teacher(x)
                loss = loss + logits_loss([output], [wanted], model)
            loss.backward()
            optimizer.step()
            schedule.step()

    @staticmethod
    def _costs(model: nn.Module) -> dict[str, float]:
        return summarize_costs(count_costs(model, EXAMPLE))

    def run(self, name: str, seed: int) -> dict[str, float]:
        """Train one method; return its accuracy and costs."""
        torch.manual_seed(seed)
        stages, distilled = METHODS[name]
        model = copy.deepcopy(self.dense).train()
        teacher = copy.deepcopy(self.dense).eval() if distilled else None
        for number, (share, settings) in enumerate(stages):
            steps, optimizer = int(self.steps * share), self._optimizer(model)
            if settings is None:
                self._fit(model, optimizer, seed, steps, teacher)
                continue
            compression = razor_ext.compress(model, EXAMPLE, optimizer, steps, calibration=(
                (self.train[0][i:i + 64], ) for i in range(0, 512, 64)), **settings)
            self._fit(compression.model, compression.optimizer, seed + 1000 * number, steps,
                      teacher)
            model = compression.finish().model.train()
        costs = self._costs(model)
        return {'accuracy': accuracy(model, *self.judge), 'macs': costs['macs'] / self.macs,
                'relative_bops': costs['bops'] / (self.macs * 1024), 'params': costs['params']}


def run(args: argparse.Namespace) -> None:
    """Run every method on every seed; the file is written after each."""
    settings = dict(steps=args.steps, part=args.part, train_images=args.images)
    content: dict[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {
        'settings': settings, 'machine': f'{platform.machine()}, torch {torch.__version__}, '
        f'{torch.get_num_threads()} threads', 'date': str(datetime.date.today()), 'rows': []}
    if content['settings'] != settings:
        raise SystemExit(f'{args.out} was made with {content["settings"]}, not {settings}: give '
                         'the same, or another --out')
    done = {(row['method'], row['seed']) for row in content['rows']}
    bench = Bench(args.folder, args.steps, args.part, args.images)
    content['dense'] = accuracy(bench.dense, *bench.judge)
    for seed in args.seeds:
        for name in args.methods:
            if (name, seed) in done:
                continue
            content['rows'].append({'method': name, 'seed': seed, **bench.run(name, seed)})
            write_json(args.out, content)
            print(content['rows'][-1], flush=True)


def table(args: argparse.Namespace) -> None:
    """Print the table of a result, in Markdown."""
    content = json.loads(args.out.read_text())
    by_method: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in content['rows']:
        by_method[row['method']].append(row)
    print(f'{content["settings"]}; dense model {content["dense"]:.2f} %; {content["date"]}, '
          f'{content["machine"]}\n\n| method | seeds | accuracy (%) | MACs | relative BOPs |\n'
          '|---|---|---|---|---|')
    for name, rows in by_method.items():
        mean = {key: statistics.mean(row[key] for row in rows)
                for key in ('accuracy', 'macs', 'relative_bops')}
        print(f'| {name} | {len(rows)} | {mean["accuracy"]:.2f}{spread(rows)} | '
              f'{mean["macs"]:.3f} | {mean["relative_bops"]:.4f} |')


def spread(rows: list[dict[str, Any]]) -> str:
    """Return the half width of the 95 % interval of the mean, by Student's t; '' of one row."""
    quantile = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57}.get(len(rows))
    if quantile is None:
        return ''
    deviation = statistics.stdev(row['accuracy'] for row in rows)
    return f' ± {quantile * deviation / math.sqrt(len(rows)):.2f}'


def main() -> None:
    """Run or show."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    commands = parser.add_subparsers(dest='command', required=True)
    runs = commands.add_parser('run', help='train the methods')
    runs.add_argument('folder', type=Path)
    runs.add_argument('--steps', type=int, default=700)
    runs.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    runs.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS))
    runs.add_argument('--images', type=int, default=45000, help='training images')
    runs.add_argument('--part', choices=('val', 'test'), default='val')
    runs.add_argument('--out', type=Path, default=Path('cifar.json'))
    tables = commands.add_parser('table', help='show a result')
    tables.add_argument('out', type=Path)
    args = parser.parse_args()
    run(args) if args.command == 'run' else table(args)


if __name__ == '__main__':
    main()
