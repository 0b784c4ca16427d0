"""A check of a run before its first step."""
from __future__ import annotations

from torch import nn

from razor_ext.engine.dataset_hook import DatasetHook
from razor_ext.engine.run_models import unwrapped
from razor_ext.registry import HOOKS


class ClassesError(ValueError):
    """The data have another number of classes than the head."""


@HOOKS.register_module()
class DetectorClassesHook(DatasetHook):
    """Refuses data whose classes are not those of the detector's head.

    Too few train without a word; too many end in an index error that names neither.
    """

    def check(self, model: nn.Module, dataset: object, loader: str) -> None:
        """Check one data set."""
        _check(model, dataset, loader)



def _check(model: nn.Module, dataset: object, loader: str) -> None:
    count = _outputs(model)
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    if count is not None and isinstance(classes, (list, tuple)) and len(classes) != count:
        raise ClassesError(
            f'the data set of {loader} has {len(classes)} classes ({", ".join(classes[:3])}'
            f'{", ..." if len(classes) > 3 else ""}), but bbox_head.num_classes of the model is '
            f'{count}: set model.bbox_head.num_classes in the dense config, or '
            'metainfo=dict(classes=(...)) of the data set')


def _outputs(model: nn.Module) -> int | None:
    """Return the classes of a detector, or of the one that an algorithm prunes; else None."""
    from mmdet.models.detectors.single_stage import SingleStageDetector
    model = unwrapped(model)
    model = getattr(model, 'architecture', model)
    count = getattr(model.bbox_head, 'num_classes', None) if isinstance(
        model, SingleStageDetector) else None
    return count if isinstance(count, int) else None
