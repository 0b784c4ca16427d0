"""MMDeploy's task of pose estimation, which knows where the people are."""
from __future__ import annotations

import copy
import logging
import os
from collections.abc import Sequence
from typing import Any

import cv2
import mmcv
import numpy as np
import torch
from mmcv.transforms import Compose
from mmdeploy.codebase.mmpose.deploy.pose_detection import (
    MMPOSE_TASK,
    PoseDetection,
    _get_dataset_metainfo,
)
from mmdeploy.utils import Task
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpose.apis.inference import dataset_meta_from_config
from torch import nn

from razor_ext.pose.boxes import annotated_boxes, boxes_of_file, given_boxes

from .drawing import draw_people

TOP_DOWN = 'TopdownPoseEstimator'


@MMPOSE_TASK.register_module(Task.POSE_DETECTION.value, force=True)
class PeopleInBoxes(PoseDetection):
    """Deployment of a pose estimator, in the place of MMDeploy's own task.

    MMDeploy's takes the whole image for the person's box, on which a top-down model was never
    trained.

    Args:
        model_cfg: Config of the model.
        deploy_cfg: MMDeploy's deployment config.
        device: Device name.
    """

    def __init__(self, model_cfg: Config, deploy_cfg: Config, device: str) -> None:
        super().__init__(model_cfg, deploy_cfg, device)
        self._given = np.zeros((0, 4), np.float32)
        self._file: str | None = None
        self._found: dict[str, np.ndarray] = {}

    def set_boxes(self, boxes: Sequence[Sequence[float]], file: str | None) -> None:
        """Say where the people are.

        Args:
            boxes: x, y, width, height of each person, on every image.
            file: boxes by image, see `boxes_of_file`.

        Raises:
            DeployError: a box is none.
        """
        self._given, self._file = given_boxes(boxes), file
        self._found.clear()

    @property
    def takes_boxes(self) -> bool:
        """Whether the model finds one person in a box, rather than all of an image."""
        return str(self.model_cfg.model.get('type')).rpartition('.')[2] == TOP_DOWN

    def find_boxes(self, image: str) -> np.ndarray:
        """Return the people's boxes of an image file: given, of the file, or annotated.

        Returns:
            Corners [n, 4]; none where nothing is known.

        Raises:
            DeployError: the file of boxes cannot be read.
        """
        if image not in self._found:
            found = self._given
            if not len(found) and self._file is not None:
                found = boxes_of_file(self._file, image)
            self._found[image] = found if len(found) else annotated_boxes(self.model_cfg, image)
        return self._found[image]

    def _people(self, image: str) -> np.ndarray:
        """Return the boxes, or that of the whole image."""
        found = self.find_boxes(image)
        if len(found):
            return found
        height, width = mmcv.imread(image).shape[:2]
        return np.array([[0, 0, width, height]], np.float32)

    def create_input(self, imgs: Any, input_shape: Sequence[int] | None = None,
                     data_preprocessor: nn.Module | None = None, **kwargs: Any
                     ) -> tuple[dict, torch.Tensor]:
        """Prepare the first person of an image file, or an array as MMDeploy does."""
        if not isinstance(imgs, str) or not self.takes_boxes:
            return super().create_input(imgs, input_shape, data_preprocessor, **kwargs)
        batch = self._crop(imgs, self._people(imgs)[0])
        if data_preprocessor is not None:
            batch = data_preprocessor(batch, False)
        return batch, batch['inputs']

    def _crop(self, image: str, box: np.ndarray) -> dict[str, Any]:
        with DefaultScope.overwrite_default_scope('mmpose'):
            pipeline = Compose(self.model_cfg.test_dataloader.dataset.pipeline)
            sample = pipeline(dict(img_path=image, img=mmcv.imread(image), bbox=box[None],
                                   bbox_score=np.ones(1, np.float32), **self._meta()))
        sample['inputs'] = sample['inputs'].to(self.device)
        return pseudo_collate([sample])

    def _meta(self) -> dict[str, Any]:
        """Return the test set's names and colours, or MMDeploy's idea of them."""
        return (dataset_meta_from_config(self.model_cfg, 'test')
                or _get_dataset_metainfo(self.model_cfg) or {})

    def draw_prediction(self, model: BaseModel, image: str, path: str | os.PathLike, title: str,
                        threshold: float, show: bool = False) -> None:
        """Draw what a model predicts of all people of an image.

        Args:
            model: torch's, or a backend model.
            image: file of the image.
            path: file of the picture.
            title: name of the model.
            threshold: keypoints of a smaller score are left out.
            show: also show the picture in a window.
        """
        if self.takes_boxes:
            if not len(self.find_boxes(image)):
                print_log(f'no box of a person is known for {image}, so that the whole image is '
                          'taken: give --box X Y W H, or --boxes FILE', logger='current',
                          level=logging.WARNING)
            boxes = self._people(image)
            batches = [self._crop(image, box) for box in boxes]
        else:
            batches = [self.create_input(image)[0]]
        with torch.no_grad():
            people = [model.test_step(copy.deepcopy(batch))[0].pred_instances for batch in batches]
        keypoints, scores, found = (
            np.concatenate([np.asarray(person[key]) for person in people])
            for key in ('keypoints', 'keypoint_scores', 'bboxes'))
        picture = draw_people(
            mmcv.imread(image), boxes if self.takes_boxes else found, keypoints, scores,
            self._meta(), threshold, title)
        cv2.imwrite(os.fspath(path), picture)
        if show:
            mmcv.imshow(picture, title)
