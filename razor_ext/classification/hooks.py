"""A check of a run before its first step."""
from __future__ import annotations

from mmengine.runner import Runner
from mmpretrain.models.classifiers.image import ImageClassifier
from torch import nn

from razor_ext.engine.dataset_hook import DatasetHook
from razor_ext.engine.run_models import unwrapped
from razor_ext.registry import HOOKS


class ClassCountError(ValueError):
    """Data of other classes than the classifier's."""


@HOOKS.register_module()
class ClassCountHook(DatasetHook):
    """Refuses data whose classes are not those of the model's head.

    Without it a label beyond the head ends in an index error, on a GPU in one that names nothing;
    and a head of more outputs than there are classes trains without a word.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training set, and the labels that the data preprocessor makes."""
        outputs, count = _outputs(runner.model), _classes(runner.train_dataloader.dataset)
        if outputs is None:
            return
        if count not in (None, outputs):
            raise ClassCountError(_message('train_dataloader', count, outputs))
        preprocessor = unwrapped(runner.model).data_preprocessor
        made = getattr(preprocessor, 'num_classes', None)
        if getattr(preprocessor, 'to_onehot', False) and made not in (None, outputs):
            raise ClassCountError(
                f'data_preprocessor.num_classes={made}, and the head of the model has {outputs} '
                f'classes: set data_preprocessor.num_classes={outputs}')

    def check(self, model: nn.Module, dataset: object, loader: str) -> None:
        """Refuse a set with classes that the head cannot name; a subset of them is a fair test."""
        outputs, count = _outputs(model), _classes(dataset)
        if outputs is not None and count is not None and count > outputs:
            raise ClassCountError(_message(loader, count, outputs))


def _outputs(model: nn.Module) -> int | None:
    """Return the classes of a classifier, or of the one that an algorithm prunes; else None."""
    model = unwrapped(model)
    model = getattr(model, 'architecture', model)
    count = getattr(model.head, 'num_classes', None) if isinstance(model, ImageClassifier) else None
    return count if isinstance(count, int) else None


def _classes(dataset: object) -> int | None:
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    return None if classes is None else len(classes)


def _message(loader: str, count: int | None, outputs: int) -> str:
    return (f'the data set of {loader} has {count} classes, and the head of the model {outputs}: '
            f'set model.head.num_classes={count} and data_preprocessor.num_classes={count} in the '
            'dense config, with a checkpoint trained so; or give the data set the `classes` of the '
            'model')
