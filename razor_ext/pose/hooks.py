"""A check of a run before its first step."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmpose.models.pose_estimators.topdown import TopdownPoseEstimator
from torch import nn

from razor_ext.engine.dataset_hook import DatasetHook
from razor_ext.engine.errors import RunError
from razor_ext.engine.run_models import unwrapped
from razor_ext.registry import HOOKS


class KeypointCountError(RunError):
    """Annotations of another number of keypoints than the head predicts."""


@HOOKS.register_module()
class KeypointCountHook(DatasetHook):
    """Refuses data whose keypoints are not as many as those of the model's head.

    Without it they end in an index error, or in tensors that do not fit, which name neither.
    """

    def check(self, model: nn.Module, dataset: Any, loader: str) -> None:
        """Check one data set."""
        check_keypoints(model, dataset, loader)



def check_keypoints(model: nn.Module, dataset: Any, loader: str) -> None:
    """Refuse a data set that does not fit a pose estimator.

    Args:
        model: the estimator, or the algorithm that prunes it; another model is left alone.
        dataset: with samples of `keypoints` [n, k, 2]; another is left alone.
        loader: name of its loader, for the message.

    Raises:
        KeypointCountError: names the number of the annotations, of the data set and of the head.
    """
    predicted = _predicted(model)
    if predicted is None:
        return
    described = annotated = None
    for part in _parts(dataset):
        described = part.metainfo.get('num_keypoints')
        keypoints = part.get_data_info(0).get('keypoints') if len(part) else None
        annotated = None if keypoints is None else keypoints.shape[1]
        if None not in (described, annotated) and described != annotated:
            raise KeypointCountError(
                f'the annotations of {loader} ({part.ann_file}) have {annotated} keypoints a '
                f'person, and its {type(part).__name__} describes {described}: give the data set '
                'the metainfo of its keypoints, metainfo=dict(from_file=...), or the annotations '
                'that it is for')
    converted = next((count for part in (dataset, *_parts(dataset))
                      for count in _converted(part)), annotated or described)
    if converted is not None and converted != predicted:
        raise KeypointCountError(
            f'the data of {loader} have {converted} keypoints a person, and the head of the model '
            f'predicts {predicted}: set model.head.out_channels={converted} in the dense config '
            'and give a checkpoint that was trained so, or give data of the keypoints that the '
            'model knows')


def _predicted(model: nn.Module) -> int | None:
    """Return the keypoints of a top-down head, None where it does not say."""
    model = unwrapped(model)
    model = getattr(model, 'architecture', model)
    if not isinstance(model, TopdownPoseEstimator):
        return None
    head = model.head
    count = getattr(head, 'out_channels', getattr(head, 'num_joints', None))
    if not isinstance(count, int):
        return None
    # A heatmap, and two of offsets.
    combined = getattr(getattr(head, 'decoder', None), 'heatmap_type', None) == 'combined'
    return count // 3 if combined else count


def _parts(dataset: Any) -> Iterator[Any]:
    """Yield the data sets of annotations in one that joins or repeats them."""
    inner = getattr(dataset, 'datasets', None)
    inner = [dataset.dataset] if inner is None and hasattr(dataset, 'dataset') else inner
    if inner is None:
        if hasattr(dataset, 'get_data_info') and hasattr(dataset, 'metainfo'):
            yield dataset
        return
    for part in inner:
        yield from _parts(part)


def _converted(dataset: Any) -> Iterator[int]:
    """Yield the number of keypoints that a pipeline makes of those annotated, if it does."""
    for step in getattr(getattr(dataset, 'pipeline', None), 'transforms', ()):
        if type(step).__name__ == 'KeypointConverter':
            yield step.num_keypoints
