"""Options of a deployment."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import DeployError


@dataclass
class DeployOptions:
    """Options of one deployment.

    Args:
        test_images: Images the exported model is compared on; the traced image if empty.
        work_dir: Folder of the results.
        device: Device of the torch model.
        dump_info: Also write the files of MMDeploy's SDK.
        draw: Also draw the prediction on the first test image.
        show: Show that drawing in a window.
        score: Keypoints of a smaller score are not drawn.
        boxes: x, y, width, height of each person on the images of a top-down model; by default
            those that its test set annotates.
        boxes_file: JSON of such boxes by image, see `pose.boxes.boxes_of_file`.
        parity_threshold: Largest error allowed in float, see :attr:`OutputParity.error`.
        integer_threshold: Largest relative L2 error of an output of a graph of integers to fake
            quantization, over the calibration inputs.
        rounds: Turns of the latency measurement; 0 leaves it out.
        quant: quant.json of the run, to deploy integers.
        pack_int4: Store weights of four bits and fewer two to a byte.
        calibration_images: Images that show the ranges between quantized layers.
        calibration_config: Config with a ``val_dataloader`` to calibrate on instead.
        parent: ONNX file that the result must not be slower than.
        test: Also run the test set of the model config through torch and through each file.
        compare_static: Also make ONNX Runtime's static int8 of the float file, to compare with.
        force: Accept a result slower than its parent.
        onnx_only: Leave the conversion of the ONNX file to the backend's own machine.
    """

    test_images: Sequence[str] = ()
    work_dir: str = '.'
    device: str = 'cpu'
    dump_info: bool = False
    draw: bool = True
    show: bool = False
    score: float = 0.3
    boxes: Sequence[Sequence[float]] = ()
    boxes_file: str | None = None
    parity_threshold: float = 1e-4
    integer_threshold: float = 0.35
    rounds: int = 30
    quant: str | None = None
    pack_int4: bool = False
    calibration_images: Sequence[str] = ()
    calibration_config: str | None = None
    parent: str | None = None
    test: bool = False
    compare_static: bool = False
    force: bool = False
    onnx_only: bool = False

    def __post_init__(self) -> None:
        for name, threshold in (('parity', self.parity_threshold),
                                ('integer', self.integer_threshold)):
            if not 0 < threshold < math.inf:  # nor NaN, which no error exceeds
                raise DeployError(f'{name} threshold must be positive and finite, got {threshold}')
        if math.isnan(self.score):
            raise DeployError('the score of drawn keypoints must be a number, got nan')
        if self.rounds < 0:
            raise DeployError(f'latency rounds must not be negative, got {self.rounds}')
        if not self.quant and (self.compare_static or self.pack_int4):
            raise DeployError('--compare-static and --pack-int4 must have --quant')
        if self.parent and not self.rounds:
            raise DeployError('a comparison with --parent must have --rounds of at least 1')
