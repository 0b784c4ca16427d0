"""The search for the smallest result within an accuracy budget."""
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from razor_ext.workflow import search as module
from razor_ext.workflow.request import Request, RequestError
from razor_ext.workflow.run import Prepared, file_metric
from razor_ext.workflow.search import BudgetError, Search, points_lost, smallest
from razor_ext.workflow.steps import Record

CONFIG = 'mmpose::body_2d_keypoint/rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py'


def test_points_are_hundredths_of_a_share_and_errors_count_the_other_way() -> None:
    assert points_lost('coco/AP', 0.75, 0.74) == pytest.approx(1)
    assert points_lost('gait/CL', 80.0, 78.5) == pytest.approx(1.5)
    assert points_lost('EPE', 4.0, 5.0) == 1
    assert points_lost('coco/AP', 0.5, 0.6) == pytest.approx(-10)


@given(st.floats(0.05, 1), st.floats(0.05, 0.9))
def test_bisection_comes_near(edge: float, low: float) -> None:
    found = smallest(lambda share: share >= edge, low, trials=6)
    assert found is not None
    assert edge <= found <= max(edge, low) + 0.02


def test_nothing_that_meets_it_is_none() -> None:
    assert smallest(lambda share: False, 0.1) is None


class Scene:
    """A model that loses `slope` points for a share of 0 without training, and some back with."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, trains: bool, slope: float = 10.0,
                 trained: float = 0.2) -> None:
        torch.save({}, folder / 'dense.pth')
        self.slope, self.trained, self.done = slope, trained, list[float]()
        request = Request(CONFIG, str(folder / 'dense.pth'), epochs=5 if trains else 0,
                          method='geta' if trains else 'post_training', validate=True)
        self.prepared = Prepared(request, None, 'x.jpg', folder, (5., 5.), None)  # type: ignore
        (folder / 'dense').mkdir()
        (folder / 'dense' / 'metrics.json').write_text(json.dumps({'coco/AP': 0.6, 'PCK': 0.9}))
        patch.setattr(module, 'run_dense', lambda prepared, record: folder / 'dense')
        patch.setattr(module, 'reachable', lambda prepared: (0.2, 1.0))
        patch.setattr(module, 'prepare', lambda request, stock, work_dir: replace(
            self.prepared, request=request, work_dir=work_dir,
            files=type('Files', (), {'prune': work_dir / 'prune.py'})))
        patch.setattr(module, 'run_steps', self._steps)
        patch.setattr(module, 'at_share', self._finish)

    def _steps(self, steps: list, record: Record, logs: Path) -> None:
        folder = Path(steps[0].command[steps[0].command.index('--work-dir') + 1])
        folder.mkdir(parents=True, exist_ok=True)
        lost = self.slope * (1 - float(folder.name))
        (folder / 'metrics.json').write_text(json.dumps({'coco/AP': 0.6 - lost / 100}))

    def _finish(self, prepared: Prepared, share: float, dense: Path) -> dict[str, Any]:
        self.done.append(share)
        part = self.trained if prepared.request.trains else 1.0
        value = 0.6 - part * self.slope * (1 - share) / 100
        return {'deployment': {'accuracy': {
            'torch': {'coco/AP': 0.7}, 'float': {'coco/AP': 0.7}, 'onnx': {'coco/AP': value}}}}

    def search(self, max_drop: float, metric: str | None = None) -> dict[str, Any]:
        record = Record(self.prepared.work_dir, self.prepared.request.as_dict())
        return Search(self.prepared, record, max_drop, metric).run()


def test_without_training_the_smallest_that_keeps_it_is_taken(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, trains=False)
    found = scene.search(2.0)
    assert 0.8 <= found['share'] < 0.84
    assert scene.done == [found['share']]
    assert found['finished'][str(found['share'])] <= 2.0
    assert json.loads((tmp_path / 'search.json').read_text()) == found


def test_a_training_starts_bold_and_steps_back(tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, trains=True, trained=0.3)
    found = scene.search(1.0)
    assert len(scene.done) == 2
    assert scene.done[0] < found['share'] == scene.done[1]
    assert found['finished'][str(scene.done[0])] > 1.0 >= found['finished'][str(scene.done[1])]


def test_a_training_that_wins_all_back_needs_no_second(tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, trains=True, trained=0.01)
    assert scene.search(1.0)['share'] == scene.done[0] < 0.55


def test_where_nothing_keeps_it_that_is_said(tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(tmp_path, monkeypatch, trains=False)
    monkeypatch.setattr(module, 'points_lost', lambda *args: 3.0)
    with pytest.raises(BudgetError, match=r'--max-drop 0.5: nothing keeps it.* 3.00 points of '
                                          r'coco/AP, at macs=1'):
        scene.search(0.5)
    assert not scene.done
    with pytest.raises(RequestError, match=r"'AUC' is none of coco/AP, PCK"):
        scene.search(0.5, 'AUC')


def test_the_file_is_judged_and_not_the_model() -> None:
    accuracy = {'torch': {'AP': .6}, 'fake_quantization': {'AP': .59}, 'float': {'AP': .6},
                'onnx': {'AP': .58}}
    document = {'deployment': {'accuracy': accuracy}}
    assert file_metric(document, 'AP') == .58
    accuracy['openvino'] = {'AP': .57}
    assert file_metric(document, 'AP') == .57
