"""Time and memory of the analysis: `python -m tests.graph.graph_timing`.

Trace and grouping against Torch-Pruning's DepGraph on the same models in one run, in turns; growth
with depth; peak memory beyond the model.
"""
from __future__ import annotations

import resource
import statistics
import time
import tracemalloc

import torch

from razor_ext.graph import analyze

from .graph_nets import ResNet, rtmpose


def ours(model, inputs) -> int:
    return len(analyze(model, inputs, verify=False).units)


def depgraph(model, inputs) -> int:
    import torch_pruning
    graph = torch_pruning.DependencyGraph().build_dependency(
        model, inputs, forward_fn=lambda m, x: m(x) if isinstance(m, ResNet) else m(x, None))
    return len(list(graph.get_all_groups()))


def clock(function, *args) -> float:
    start = time.process_time()  # other processes may share the machine
    function(*args)
    return time.process_time() - start


def spread(values) -> str:
    return f'{min(values):.3f} / {statistics.median(values):.3f} / {max(values):.3f}'


def against_depgraph(rounds: int = 15) -> None:
    models = {'ResNet-50 224x224': (ResNet().eval(), torch.randn(1, 3, 224, 224)),
              'RTMPose-s 256x192': (rtmpose('s'), torch.randn(1, 3, 256, 192))}
    for name, (model, inputs) in models.items():
        ours(model, inputs), depgraph(model, inputs)  # warm caches
        pairs = [(clock(ours, model, inputs), clock(depgraph, model, inputs))
                 for _ in range(rounds)]
        print(f'{name}: CPU seconds min/median/max ours {spread([a for a, _ in pairs])}, DepGraph '
              f'{spread([b for _, b in pairs])}, ratio {spread([a / b for a, b in pairs])}')


def growth(rounds: int = 3) -> None:
    inputs = torch.randn(1, 3, 64, 64)
    for depth in ((1, 1, 1, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3), (3, 24, 36, 3)):
        model = ResNet(depth, width=16).eval()
        layers = 3 * sum(depth) + 2
        ours(model, inputs)
        times = [clock(ours, model, inputs) for _ in range(rounds)]
        print(f'ResNet-{layers}: {spread(times)} s, {1000 * min(times) / layers:.2f} ms per layer')


def memory() -> None:
    model, inputs = ResNet().eval(), torch.randn(1, 3, 64, 64)
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
    analyze(ResNet((1, 1), 8), inputs, verify=False)  # import what is imported late
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tracemalloc.start()
    analyze(model, inputs, verify=False)
    python = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'ResNet-50: parameters {size:.0f} MiB; trace and grouping {after - before:.0f} MiB of '
          f'resident memory more, {python:.0f} MiB of Python objects')
    analyze(model, inputs)
    proved = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'with the float64 proof {proved - before:.0f} MiB more')


if __name__ == '__main__':
    torch.set_num_threads(1)
    memory()
    growth()
    against_depgraph()
