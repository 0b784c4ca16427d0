"""The steps of a deployment, each from what the one before it made."""
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import torch
from mmdeploy.codebase.base import BaseTask
from mmdeploy.utils import get_ir_config
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel

from razor_ext.atomic import explain_full_disk
from razor_ext.engine.lock import folder_lock
from razor_ext.quantization import load_quant

from .checks import check_device, check_files, check_images
from .convert import Conversion
from .errors import DeployError
from .evaluate import as_deployed
from .integers.quantized import QuantizedExport
from .integers.static_int8 import quantize_post_training
from .options import DeployOptions
from .parity import OutputParity, TorchRun, require, require_integers, run_torch
from .rewritten import RewrittenForward, check_export
from .selection import Selection, check_selection, hide_inner


@dataclass(frozen=True)
class Source:
    """The model that is deployed.

    Args:
        conversion: Its configs, checkpoint and backend.
        task: MMDeploy's task processor.
        reference: The torch model in eval mode.
        images: Files of the inputs.
        inputs: What the exported model is compared on, each with its batch dimension.
        calibration: What shows the ranges between quantized layers.
    """

    conversion: Conversion
    task: BaseTask
    reference: BaseModel
    images: list[str]
    inputs: list[torch.Tensor]
    calibration: list[torch.Tensor]


@dataclass(frozen=True)
class Result:
    """The files of a deployment.

    Args:
        files: ONNX files by name; ``onnx`` is what is deployed.
        parity: Agreement of the float ONNX file with torch.
        quantized: The graph of integers, if there is one.
        backend_files: What the backend's converter wrote.
        backend_parity: Agreement of its own file with torch, where it can be run here.
        run: What gives the outputs of torch that the files are compared with.
        selection: Agreement of the outputs, where they are a selection.
    """

    files: dict[str, Path]
    parity: list[OutputParity]
    quantized: QuantizedExport | None = None
    backend_files: Sequence[str] = ()
    backend_parity: Sequence[OutputParity] = ()
    run: TorchRun = run_torch
    selection: Selection | None = None

    @property
    def compared_with(self) -> str:
        """What the file is compared with.

        ``tensor``: the model's own tensor mode; ``rewritten``: what MMDeploy makes of it;
        ``inner``: the same, by tensors inside the file, whose outputs are a selection.
        """
        if not isinstance(self.run, RewrittenForward):
            return 'tensor'
        return 'inner' if self.run.inner else 'rewritten'


def check_inputs(image: str, images: Sequence[str], options: DeployOptions,
                 model_cfg: Config) -> None:
    """Refuse missing files, and integers of a model that is padded.

    Raises:
        DeployError: Naming the value.
    """
    check_device(options.device)
    check_images(True, [image, *images, *options.calibration_images])
    check_files(quantization_file=options.quant, parent=options.parent,
                boxes_file=options.boxes_file, calibration_config=options.calibration_config)
    if options.quant and model_cfg.model.get('divisor', 1) != 1:
        raise DeployError(f'divisor={model_cfg.model.divisor} pads the layers, and quant.json '
                          'knows the unpadded ones; set divisor=1 (--cfg-options model.divisor=1)')


def check_backend(conversion: Conversion, options: DeployOptions) -> None:
    """Refuse what the backend cannot hold, run or convert.

    Raises:
        DeployError: Naming the backend.
    """
    backend = conversion.backend
    if options.quant:
        backend.check_grids(load_quant(options.quant))
    if not options.onnx_only:
        backend.require_installed()
    backend.check_options(options)


def build_source(conversion: Conversion, images: Sequence[str], options: DeployOptions) -> Source:
    """Build the torch model, and the inputs it is compared and calibrated on.

    Raises:
        DeployError: If the backend's own file could not be compared.
    """
    task = conversion.build_task()
    check_images(getattr(task, 'reads_folders', False), [*images, *options.calibration_images])
    if options.boxes or options.boxes_file:
        if not hasattr(task, 'set_boxes'):
            raise DeployError('--box and --boxes are of people, and this is no model of poses')
        task.set_boxes(options.boxes, options.boxes_file)
    if hasattr(task, 'select') and conversion.backend.has_own_file and not options.onnx_only:
        raise DeployError(
            f'a file of {conversion.backend.title} that ends in non-maximum suppression is not '
            'compared with torch here, so none is written: deploy for onnxruntime, or write the '
            'checked ONNX file alone by --onnx-only')
    reference = conversion.build_reference(grids=bool(options.quant))
    if hasattr(task, 'prepare_reference'):
        task.prepare_reference(reference)
    inputs = conversion.create_inputs(task, reference, images)
    calibration: list[torch.Tensor] = []
    if options.quant and options.calibration_config:
        calibration = conversion.load_inputs(task, reference, options.calibration_config)
    elif options.quant:
        calibration = conversion.create_inputs(task, reference,
                                               list(options.calibration_images) or images)
    return Source(conversion, task, reference, list(images), inputs, calibration)


def export(source: Source, image: str, folder: Path, options: DeployOptions) -> Result:
    """Write the float ONNX file, and prove that it is the same model.

    Args:
        source: The model.
        image: Image it is traced with.
        folder: Where to write.
        options: The largest error allowed; with integers the layers are exported as they were
            trained, since their grids are.

    Raises:
        ParityError: If it differs from torch.
    """
    logger = MMLogger.get_current_instance()
    logger.info('exporting %s', source.conversion.save_file)
    onnx_file = source.conversion.export(image, folder,
                                         source.reference if options.quant else None)
    logger.info('comparing with torch on %d image(s)', len(source.inputs))
    conversion = source.conversion
    inner: tuple[str, ...] = ()
    if hasattr(source.task, 'select'):
        inner = hide_inner(onnx_file, source.reference, source.inputs[0],
                           get_ir_config(conversion.deploy_cfg)['output_names'])
    parity, run = check_export(
        source.reference, onnx_file, source.inputs, options.parity_threshold,
        lambda: RewrittenForward.traced_with(conversion.deploy_cfg, source.task, image,
                                             source.reference.data_preprocessor, inner),
        bool(inner))
    return Result({'onnx': onnx_file}, parity, run=run)


def with_selection(source: Source, result: Result) -> Result:
    """Check what the deployed file selects, where its outputs are a selection.

    Raises:
        ParityError: If it is something else than torch selects.
    """
    if not isinstance(result.run, RewrittenForward) or not result.run.inner:
        return result
    selection = check_selection(source.task, result.files['onnx'], source.reference, source.inputs,
                                result.run)
    return replace(result, selection=selection)


def write_integers(source: Source, result: Result, options: DeployOptions) -> Result:
    """Put the integers of quant.json into the place of the float file, which is kept beside it.

    Raises:
        ParityError: If an output differs too much from fake quantization.
    """
    if not options.quant:
        return with_selection(source, result)
    MMLogger.get_current_instance().info('writing the integers of %s', options.quant)
    onnx_file = result.files['onnx']
    files = {'onnx': onnx_file, 'float': onnx_file.with_name(f'{onnx_file.stem}_float.onnx')}
    os.replace(onnx_file, files['float'])
    form = source.conversion.backend.check_grids(load_quant(options.quant)).form
    quantized = form.write(files['float'], source.reference, options.quant, source.calibration,
                           source.inputs, options.pack_int4, result.run)
    require_integers(quantized.calibrated, options.integer_threshold)
    onnx.save(quantized.model, onnx_file)
    if options.compare_static:
        files['static'] = onnx_file.with_name(f'{onnx_file.stem}_static.onnx')
        quantize_post_training(quantized.on_grids, files['static'], quantized.calibration)
    return with_selection(source, replace(result, files=files, quantized=quantized))


def convert(source: Source, result: Result, folder: Path, threshold: float) -> Result:
    """Convert for the backend, and compare its file with torch where it can be run here.

    Args:
        source: The model.
        result: Its ONNX file.
        folder: Where to write.
        threshold: Largest error allowed in float.

    Raises:
        ParityError: If a float file differs from torch.
    """
    conversion, quantized = source.conversion, result.quantized
    files = conversion.convert_backend(result.files['onnx'], folder, source.reference,
                                       source.inputs[0])
    parity: list[OutputParity] = []
    if conversion.backend.has_own_file:
        parity = conversion.backend.compare(
            files[0], quantized.reference if quantized else source.reference, source.inputs,
            [row.name for row in result.parity],
            # A converter that reads the torch model knows nothing of MMDeploy's rewriters.
            result.run if conversion.backend.rewrites_graph else run_torch)
        if not quantized:
            require(parity, threshold)
    return replace(result, backend_files=files, backend_parity=parity)


def draw(source: Source, result: Result, folder: Path, options: DeployOptions) -> None:
    """Draw the predictions of the exported and of the torch model, the quantized one of integers.

    Args:
        source: The model.
        result: Its files.
        folder: Where to write.
        options: What is drawn of poses, and whether it is shown.
    """
    task, image = source.task, source.images[0]
    exported = task.build_backend_model(
        result.backend_files, data_preprocessor_updater=task.update_data_preprocessor)
    reference = result.quantized.reference if result.quantized else source.reference
    for name, model in ((source.conversion.backend.name, exported),
                        ('pytorch', as_deployed(reference))):
        path = folder / f'output_{name}.jpg'
        if hasattr(task, 'draw_prediction'):
            task.draw_prediction(model, image, path, name, options.score, options.show)
            continue
        batch, _ = task.create_input(image)
        with torch.no_grad():
            predicted = model.test_step(batch)[0]
        task.visualize(image=image, model=model, result=predicted, window_name=name,
                       output_file=os.fspath(path), show_result=options.show)


_STAGING = '.deploy-'


@contextmanager
def moved_at_end(work_dir: Path) -> Iterator[Path]:
    """Give a hidden folder, whose files move into `work_dir` unless an error is raised.

    Raises:
        FolderInUseError: another deployment writes there.
    """
    with folder_lock(work_dir, 'deployment'):
        for left in work_dir.glob(f'{_STAGING}*'):  # of processes that were killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            with tempfile.TemporaryDirectory(prefix=_STAGING, dir=work_dir) as staging:
                yield Path(staging)
                for path in sorted(Path(staging).iterdir()):
                    os.replace(path, work_dir / path.name)
        except OSError as error:
            explain_full_disk(error, work_dir)
            raise
