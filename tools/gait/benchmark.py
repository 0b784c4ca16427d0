"""Measure evaluation on random embeddings, or reading against plain pickle."""
from __future__ import annotations

import argparse
import pickle
import resource
import statistics
import time

import numpy as np
import torch
from mmengine.registry import METRICS

import razor_ext  # noqa: F401  (registers the metrics)
from razor_ext.gait.datasets import SilhouetteStore, load_pickle, scan_tree


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    evaluation = commands.add_parser('evaluation', help='OU-MVLP protocol on random embeddings')
    evaluation.add_argument('--sequences', type=int, default=133000)
    evaluation.add_argument('--parts', type=int, default=16)
    evaluation.add_argument('--channels', type=int, default=256)
    evaluation.add_argument('--block', type=int, default=2048)
    evaluation.add_argument('--probe-share', type=float, default=1.,
                            help='share of the probes compared, of which the time is a multiple')
    reading = commands.add_parser('reading', help='sequences of a tree, and of its store')
    reading.add_argument('tree')
    reading.add_argument('store')
    reading.add_argument('--rounds', type=int, default=7)
    reading.add_argument('--frames', type=int, default=30, help='frames of a sequence used')
    return parser.parse_args()


def peak() -> float:
    """Largest resident memory so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure_evaluation(args: argparse.Namespace) -> None:
    """Put random embeddings through the metric, as a test run does."""
    metric = METRICS.build({'type': 'OUMVLPMetric', 'block': args.block})
    subjects = args.sequences // 28
    total = subjects * 28
    random = np.random.default_rng(0)
    kept = 0
    for i in range(total):
        subject, rest = divmod(i, 28)
        condition, view = divmod(rest, 14)
        if condition == 0 and random.random() >= args.probe_share:
            condition = 2  # neither probe nor gallery, but in memory all the same
        kept += condition == 0
        metric.process({}, [{
            'sample_idx': i, 'path': str(i), 'subject': f'{subject:05d}', 'view': f'{view:03d}',
            'condition': f'{condition:02d}',
            'embedding': torch.randn(args.channels, args.parts)}])
    print(f'{total} embeddings collected, peak memory {peak():.2f} GiB')
    wall, cpu = time.perf_counter(), time.process_time()
    metric.evaluate(total)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f'{kept} probes against {total // 2}: {wall:.1f} s, {cpu:.1f} s of CPU, peak memory '
          f'{peak():.2f} GiB')


def measure_reading(args: argparse.Namespace) -> None:
    """Interleave the ways of reading; print times per sequence, and ratios to plain pickle."""
    paths = {key: files[0] for key, files in scan_tree(args.tree)}
    keys = list(paths)[:2000]
    store = SilhouetteStore(args.store)
    random = np.random.default_rng(0)

    def plain(key):
        with open(paths[key], 'rb') as file:
            return pickle.load(file)

    readers = {'plain pickle': plain, 'checked pickle': lambda key: load_pickle(paths[key]),
               'store': store.read}
    times: dict[str, list[float]] = {name: [] for name in readers}
    for round_ in range(args.rounds + 1):  # the first warms the page cache
        for name, read in readers.items():
            start = time.perf_counter()
            for key in keys:
                frames = read(key)
                frames[random.integers(len(frames), size=args.frames)]
            if round_:
                times[name].append((time.perf_counter() - start) / len(keys) * 1e6)
    for name, values in times.items():
        ratios = [v / p for v, p in zip(values, times['plain pickle'])]
        print(f'{name}: {statistics.median(values):.0f} us a sequence, of plain pickle '
              f'{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f} '
              '(min / median / max)')


def main() -> None:
    args = parse_args()
    {'evaluation': measure_evaluation, 'reading': measure_reading}[args.command](args)


if __name__ == '__main__':
    main()
