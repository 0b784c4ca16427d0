"""Property tests over random networks, and a check that broken rules and fixers are caught."""
from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from razor_ext.graph import NothingToPruneError, analyze, fixers, register_fixer, slice_model
from razor_ext.graph.proof import Prover
from razor_ext.graph.rules import RULES

from .graph_fuzz import FuzzNet, HeadAttention
from .graph_nets import random_keep

FAST = settings(max_examples=60, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(HealthCheck))
INPUT = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))
CHOICES = [(0.5, False), (0.3, True), (0.7, True)]


@register_fixer(HeadAttention)
def fix_head_attention(module: HeadAttention, kept) -> None:
    module.num_heads = module.qkv.out_features // (3 * module.head_dim)


@st.composite
def networks(draw) -> FuzzNet:
    torch.manual_seed(draw(st.integers(0, 1000)))
    return FuzzNet(lambda n: draw(st.integers(0, n - 1)), draw(st.integers(2, 11))).eval()


def wrong_slices(model: nn.Module, graph, seed: int) -> list[str]:
    """Slice the real module in several random ways that `analyze` did not try itself."""
    prover, wrong = Prover(model, graph, seed + 100), []
    for number, (ratio, uneven) in enumerate(CHOICES):
        keep = random_keep(graph.units, ratio, 10 * seed + number, uneven)
        if number == 2:  # every other unit only
            keep = {name: mask for i, (name, mask) in enumerate(keep.items()) if (i + seed) % 2}
        if not keep:
            continue
        try:
            error, _ = prover.compare(keep)
        except Exception as exception:  # a sliced module that cannot run is wrong too
            wrong.append(f'{type(exception).__name__}: {exception}')
            continue
        if error > 1e-9:
            wrong.append(f'outputs differ by {error}')
    return wrong


def check_network(model: FuzzNet, seed: int) -> None:
    try:
        graph = analyze(model, INPUT)
    except NothingToPruneError as error:
        assert 'What freezes the channels' in str(error)
        return
    assert wrong_slices(model, graph, seed) == [], model.steps
    assert all(reason for reason in graph.refused.values())
    keep = random_keep(graph.units, 0.5, seed)
    counts = {name: int(mask.sum()) for name, mask in keep.items()}
    sliced = slice_model(model, graph, keep, check=False)
    assert sum(p.numel() for p in sliced.parameters()) == graph.params(counts)
    with contextlib.suppress(NothingToPruneError):  # channels of one are not prunable
        assert analyze(sliced, INPUT, verify=False).total_macs == graph.macs(counts)


@FAST
@given(networks(), st.integers(0, 1000))
def test_random_networks(model, seed):
    check_network(model, seed)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(FAST, max_examples=2000)
@given(networks(), st.integers(0, 1000))
def test_two_thousand_random_networks(model, seed):
    check_network(model, seed)


# ---- mutations
def skip_unions(function):
    """The rule with its unions left out."""

    def broken(flow, op):
        flow.ids.union = lambda a, b: None
        flow.ids.union_elements = lambda a, b: None
        try:
            return function(flow, op)
        finally:
            del flow.ids.union, flow.ids.union_elements

    return broken


def skip_freezing(function):
    """The rule that freezes nothing."""

    def broken(flow, op):
        flow.ids.freeze = lambda axis, reason: None
        try:
            return function(flow, op)
        finally:
            del flow.ids.freeze

    return broken


def reverse_channels(function):
    """The rule with the channels of its results in reverse."""

    def broken(flow, op):
        results = function(flow, op)
        for value in results if isinstance(results, list) else [results]:
            if value is not None:
                value.dims = [axis if axis is None else flow.ids.of(
                    flow.ids.elements(axis)[::-1].copy()) for axis in value.dims]
        return results

    return broken


MUTATIONS = (skip_unions, skip_freezing, reverse_channels)


@contextlib.contextmanager
def broken_rule(name: str, mutation):
    whole = RULES[name]
    RULES[name] = mutation(whole)
    try:
        yield
    finally:
        RULES[name] = whole


@contextlib.contextmanager
def broken_fixer(cls: type):
    whole = fixers._FIXERS.pop(cls)
    try:
        yield
    finally:
        fixers._FIXERS[cls] = whole


def check_mutant(model: FuzzNet, breakage, seed: int) -> str:
    """Analyse under a broken rule or fixer; whatever survives must slice rightly.

    Returns:
        'harmless' if even the unverified graph slices rightly, else 'caught': the units were
        refused, or another axis of a split was found that holds.
    """
    with breakage:
        try:
            unchecked = analyze(model, INPUT, verify=False)
        except NothingToPruneError:
            return 'harmless'
        except (AssertionError, ValueError, IndexError):
            return 'caught'
        if not wrong_slices(model, unchecked, seed):
            return 'harmless'
        try:
            graph = analyze(model, INPUT)
        except NothingToPruneError:
            return 'caught'
        except (AssertionError, ValueError, IndexError):
            return 'caught'
        assert wrong_slices(model, graph, seed) == [], model.steps
        return 'caught'


def mutate(data, tally: dict[str, int]) -> None:
    model, seed = data.draw(networks()), data.draw(st.integers(0, 1000))
    if data.draw(st.integers(0, 5)) == 0:
        kinds = [cls for cls in (nn.modules.conv._ConvNd, nn.GroupNorm, HeadAttention)
                 if any(isinstance(module, cls) for module in model.modules())]
        breakage = broken_fixer(data.draw(st.sampled_from(kinds)))
    else:
        try:
            program = analyze(model, INPUT, verify=False).program
        except NothingToPruneError:
            return
        names = sorted({call.name for call in program.calls} & set(RULES))
        breakage = broken_rule(data.draw(st.sampled_from(names)),
                               data.draw(st.sampled_from(MUTATIONS)))
    outcome = check_mutant(model, breakage, seed)
    tally[outcome] = tally.get(outcome, 0) + 1


def tally_of_mutants(examples: int) -> dict[str, int]:
    """Break so many rules and fixers, and count what became of them."""
    tally: dict[str, int] = {}

    @settings(FAST, max_examples=examples)
    @given(st.data())
    def run(data):
        mutate(data, tally)

    run()
    return tally


@pytest.mark.parametrize('examples', [
    40, pytest.param(1000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_broken_rules_and_fixers_are_caught(examples):
    tally = tally_of_mutants(examples)
    print(f'mutants: {tally}')
    assert tally.get('caught', 0) >= examples // 10
