"""What tools/deploy.py does, from the configs to the report."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from mmdeploy.utils import Backend
from mmengine.config import Config
from mmengine.logging import MMLogger
from torch import nn

from razor_ext.engine.atomic import write_json
from razor_ext.quantization import load_quant

from .backends import OWN_CONVERTERS
from .checks import check_files, check_widths
from .convert import Conversion, check_backend, check_parity
from .counts import count_onnx, count_torch
from .errors import DeployError
from .evaluate import as_deployed, evaluate, evaluate_file
from .parity import require
from .quantized import QuantizedExport, quantize_export, quantize_symmetric
from .report import (
    bit_operations,
    describe_environment,
    format_report,
    input_feed,
    measure,
    require_faster,
)
from .static_int8 import quantize_post_training


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
        parity_threshold: Largest error allowed in float, see :attr:`OutputParity.error`.
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
    parity_threshold: float = 1e-4
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
        if self.parity_threshold <= 0:
            raise DeployError(f'parity threshold must be positive, got {self.parity_threshold}')
        if self.rounds < 0:
            raise DeployError(f'latency rounds must not be negative, got {self.rounds}')
        if not self.quant and (self.compare_static or self.pack_int4):
            raise DeployError('--compare-static and --pack-int4 must have --quant')
        if self.parent and not self.rounds:
            raise DeployError('a comparison with --parent must have --rounds of at least 1')


def deploy(deploy_cfg: Config, model_cfg: Config, checkpoint: str, image: str,
           options: DeployOptions) -> dict:
    """Convert a model, compare it with torch, measure it, and write all results at once.

    Results are made in a hidden folder and moved into ``work_dir`` at the end, so that an error
    leaves nothing there.

    Args:
        deploy_cfg: MMDeploy's deployment config.
        model_cfg: Config of the dense or compressed model.
        checkpoint: Its weights.
        image: Image the model is traced with.
        options: Everything else.

    Returns:
        The content of report.json.

    Raises:
        DeployError: If an input does not fit, or the result is slower than its parent.
        ParityError: If the exported model differs from torch.
    """
    logger = MMLogger.get_current_instance()
    images = list(options.test_images) or [image]
    check_files(image=image, quantization_file=options.quant, parent=options.parent,
                calibration_config=options.calibration_config,
                **{f'test_image_{i}': path for i, path in enumerate(images)},
                **{f'calibration_image_{i}': path
                   for i, path in enumerate(options.calibration_images)})
    if options.quant and model_cfg.model.get('divisor', 1) != 1:
        raise DeployError(f'divisor={model_cfg.model.divisor} pads the layers, and quant.json '
                          'knows the unpadded ones; set divisor=1 (--cfg-options model.divisor=1)')
    conversion = Conversion(deploy_cfg, model_cfg, checkpoint, options.device, options.onnx_only)
    if options.quant:
        check_widths(conversion.backend.value, load_quant(options.quant))
    if not options.onnx_only:
        conversion.require_backend()
    symmetric = conversion.backend is Backend.TENSORRT
    if symmetric and (options.parent or options.compare_static or options.pack_int4):
        raise DeployError('--parent, --compare-static and --pack-int4 are for files that ONNX '
                          'Runtime runs, not for TensorRT')
    task = conversion.build_task()
    reference = conversion.build_reference()
    if hasattr(task, 'prepare_reference'):
        task.prepare_reference(reference)
    inputs = conversion.create_inputs(task, reference, images)
    calibration = _calibration_inputs(conversion, task, reference, options, images)
    work_dir = Path(options.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.deploy-', dir=work_dir) as staging:
        folder = Path(staging)
        logger.info('exporting %s', conversion.save_file)
        onnx_file = conversion.export(image, folder)
        logger.info('comparing with torch on %d image(s)', len(inputs))
        parities = check_parity(reference, onnx_file, inputs)
        require(parities, options.parity_threshold)
        files = {'onnx': onnx_file}
        quantized = None
        if options.quant:
            logger.info('writing the integers of %s', options.quant)
            files['float'] = onnx_file.with_name(f'{onnx_file.stem}_float.onnx')
            os.replace(onnx_file, files['float'])
            if symmetric:
                quantized = quantize_symmetric(files['float'], reference, options.quant, inputs)
            else:
                quantized = quantize_export(files['float'], reference, options.quant, calibration,
                                            inputs, options.pack_int4)
            onnx.save(quantized.model, onnx_file)
            if options.compare_static:
                files['static'] = onnx_file.with_name(f'{onnx_file.stem}_static.onnx')
                quantize_post_training(quantized.on_grids, files['static'],
                                       quantized.calibration)
        if options.parent:
            files['parent'] = Path(options.parent)
        backend_files = [] if options.onnx_only else conversion.convert_backend(
            onnx_file, folder, reference, inputs[0])
        backend_parities = []
        if conversion.backend in OWN_CONVERTERS and backend_files:
            backend_parities = check_backend(
                [row.name for row in parities], quantized.reference if quantized else reference,
                backend_files[0], inputs)
            if not quantized:
                require(backend_parities, options.parity_threshold)
        if options.dump_info:
            conversion.dump_info(folder)
        drawable = (conversion.backend not in OWN_CONVERTERS and not options.onnx_only
                    and getattr(task, 'drawable', True))
        if options.draw and drawable:
            _draw(conversion, task, reference, backend_files, images[0], folder, options.show)
        report = {
            'model': {'config': str(model_cfg.filename), 'checkpoint': checkpoint},
            'deploy_config': str(deploy_cfg.filename),
            'images': images,
            'torch': count_torch(reference, lambda: reference(inputs[0], None, mode='tensor')),
            **{name: count_onnx(path, input_feed(path, inputs[0][:1]))
               for name, path in files.items()},
            'parity': [parity.as_dict() for parity in parities],
            'backend_parity': [parity.as_dict() for parity in backend_parities],
            'error_to_float': {
                name: [row.as_dict() for row in check_parity(reference, path, inputs)]
                for name, path in files.items() if quantized and name in ('onnx', 'static')},
            'quantization': _describe_quantization(quantized, inputs),
            'accuracy': _accuracy(conversion, reference, quantized, files, backend_files)
            if options.test else {},
            'latency': {} if symmetric else measure(files, inputs[0], options.rounds),
            'environment': describe_environment()}
        if not options.force:
            require_faster(report['latency'])
        write_json(folder / 'report.json', report)
        for path in sorted(folder.iterdir()):
            os.replace(path, work_dir / path.name)
    logger.info('results are in %s\n%s', work_dir, format_report(report))
    return report


def _calibration_inputs(conversion: Conversion, task, reference, options: DeployOptions,
                        images: Sequence[str]) -> list[torch.Tensor]:
    if not options.quant:
        return []
    if options.calibration_config:
        return conversion.load_inputs(task, reference, options.calibration_config)
    return conversion.create_inputs(task, reference, list(options.calibration_images) or images)


def _describe_quantization(quantized: QuantizedExport | None,
                           inputs: Sequence[torch.Tensor]) -> Mapping | None:
    if quantized is None:
        return None
    return {**quantized.as_dict(), **bit_operations(quantized.reference, inputs[0])}


def _accuracy(conversion: Conversion, reference: nn.Module, quantized: QuantizedExport | None,
              files: Mapping[str, Path], backend_files: Sequence[str]) -> dict[str, dict]:
    """Metrics by what was tested; torch predicts in a single pass as the files do."""
    config = conversion.model_cfg
    found = {'torch': evaluate(as_deployed(reference), config)}
    if quantized:
        found['fake_quantization'] = evaluate(as_deployed(quantized.reference), config)
    tested = {name: path for name, path in files.items() if name != 'parent'}
    if conversion.backend in OWN_CONVERTERS and backend_files:
        tested[conversion.backend.value] = Path(backend_files[0])
    return {**found, **{name: evaluate_file(conversion.deploy_cfg, config, path)
                        for name, path in tested.items()}}


def _draw(conversion: Conversion, task, reference, backend_files, image: str, folder: Path,
          show: bool) -> None:
    """Draw the predictions of the exported and of the torch model, as MMDeploy's tool does."""
    backend = conversion.backend.value
    exported = task.build_backend_model(
        backend_files, data_preprocessor_updater=task.update_data_preprocessor)
    for name, model in ((backend, exported), ('pytorch', as_deployed(reference))):
        batch, _ = task.create_input(image)
        with torch.no_grad():
            result = model.test_step(batch)[0]
        task.visualize(image=image, model=model, result=result, window_name=name,
                       output_file=os.fspath(folder / f'output_{name}.jpg'), show_result=show)
