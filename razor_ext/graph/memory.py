"""Proofs that were made before: a file for each structure, by the digest of what it depends on."""
from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from razor_ext.atomic import write_json

from .choices import uneven_choice
from .evidence import Evidence
from .fingerprint import fingerprint, units_digest
from .flow import FREEZE
from .proof import Prover
from .search import Graph, Policy, verified

#: Environment variable that names another folder; empty: nothing is remembered.
VARIABLE = 'RAZOR_EXT_PROOFS'
#: Larger files are none of ours.
_MOST_BYTES = 16 << 20
#: Seed and start of the choice that is tried anew; no proof uses them.
_ANEW = 1000, 0.8


def proof_folder() -> Path | None:
    """Return the folder of remembered proofs, None where nothing is to be remembered."""
    given = os.environ.get(VARIABLE)
    if given is not None:
        return Path(given) if given else None
    cache = os.environ.get('XDG_CACHE_HOME')
    return (Path(cache) if cache else Path.home() / '.cache') / 'razor_ext' / 'proofs'


def remembered(graph: Graph, build: Callable[[Policy], Graph], folder: Path) -> Graph:
    """Return what `verified` does, from memory where the same has been proved before.

    The units are found anew and have to be those that were proved, and they have to hold for a
    choice of channels that the proof did not try: in float64 for a model that was proved on the
    whole, else in a trace. Otherwise all is proved anew.

    Args:
        graph: See `verified`.
        build: See `verified`.
        folder: Holds a file for each structure.
    """
    key = fingerprint(graph)
    if key is None:
        return verified(graph, build)
    path = folder / f'{key}.json'
    found = _recall(path, build)
    if found is None:
        found = verified(graph, build)
        _keep(path, found)
    return found


def _recall(path: Path, build: Callable[[Policy], Graph]) -> Graph | None:
    content = _read(path)
    try:
        policy = {tuple(shape): axis for shape, axis in content['policy']}
        refused, units = dict(content['refused']), content['units']
        evidence = Evidence(**content['evidence'], remembered=True)
    except (KeyError, TypeError, ValueError):
        return None
    if not all(axis in range(FREEZE, len(shape)) for shape, axis in policy.items()):
        return None
    graph = build(policy)
    names = {unit.name for unit in graph.units}
    if not refused.keys() <= names | graph.refused.keys():
        return None
    graph.drop({name: reason for name, reason in refused.items() if name in names})
    if not graph.units or units_digest(graph) != units:
        return None
    prover = Prover(graph.model, graph)
    check = prover.mismatch if evidence.copies else prover.failure
    if check(uneven_choice(graph.units, *_ANEW)) is not None:
        return None
    graph.evidence = evidence
    return graph


def _read(path: Path) -> Any:
    """Return the content of a file, None if it is none of ours."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return None


def _keep(path: Path, graph: Graph) -> None:
    assert graph.evidence is not None  # it was verified
    evidence = dataclasses.asdict(graph.evidence)
    del evidence['remembered']
    content = {'policy': [[list(shape), axis] for shape, axis in graph.policy.items()],
               'refused': graph.refused, 'units': units_digest(graph), 'evidence': evidence}
    try:
        write_json(path, content)
    except OSError as error:
        warnings.warn(f'the proof of the channel units is not remembered: {error}. Set {VARIABLE} '
                      'to a folder that can be written, or to nothing', stacklevel=2)
