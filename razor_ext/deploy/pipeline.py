"""What tools/deploy.py does, from the configs to the report."""
from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from mmdeploy.utils import get_backend
from mmengine.config import Config
from mmengine.logging import MMLogger
from prettytable import PrettyTable

from razor_ext.engine.atomic import write_json

from .checks import check_files
from .convert import Conversion, check_parity
from .counts import count_onnx, count_torch
from .latency import Spread, time_onnx
from .parity import OutputParity, require


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
        parity_threshold: Largest error allowed, see :attr:`OutputParity.error`.
        rounds: Turns of the latency measurement; 0 leaves it out.
    """

    test_images: Sequence[str] = ()
    work_dir: str = '.'
    device: str = 'cpu'
    dump_info: bool = False
    draw: bool = True
    show: bool = False
    parity_threshold: float = 1e-4
    rounds: int = 30
    thread_counts: Sequence[int] = field(default=(1, 0))

    def __post_init__(self) -> None:
        if self.parity_threshold <= 0:
            raise ValueError(f'parity threshold must be positive, got {self.parity_threshold}')
        if self.rounds < 0:
            raise ValueError(f'latency rounds must not be negative, got {self.rounds}')


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
        DeployError: If an input does not fit.
        ParityError: If the exported model differs from torch.
    """
    logger = MMLogger.get_current_instance()
    images = list(options.test_images) or [image]
    check_files(image=image, **{f'test_image_{i}': path for i, path in enumerate(images)})
    conversion = Conversion(deploy_cfg, model_cfg, checkpoint, options.device)
    task = conversion.build_task()
    reference = conversion.build_reference()
    inputs = conversion.create_inputs(task, reference, images)
    work_dir = Path(options.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.deploy-', dir=work_dir) as staging:
        folder = Path(staging)
        logger.info('exporting %s', conversion.save_file)
        onnx_file = conversion.export(image, folder)
        logger.info('comparing with torch on %d image(s)', len(inputs))
        parities = check_parity(reference, onnx_file, inputs)
        require(parities, options.parity_threshold)
        backend_files = conversion.convert_backend(onnx_file, folder)
        if options.dump_info:
            conversion.dump_info(folder)
        if options.draw:
            _draw(conversion, task, reference, backend_files, images[0], folder, options.show)
        report = {
            'model': {'config': str(model_cfg.filename), 'checkpoint': checkpoint},
            'deploy_config': str(deploy_cfg.filename),
            'torch': count_torch(reference, lambda: reference(inputs[0], None, mode='tensor')),
            'onnx': count_onnx(onnx_file),
            'parity': [parity.as_dict() for parity in parities],
            'images': images,
            'latency_ms': _measure(onnx_file, inputs[0], options),
            'environment': _environment()}
        write_json(folder / 'report.json', report)
        for path in sorted(folder.iterdir()):
            os.replace(path, work_dir / path.name)
    logger.info('results are in %s\n%s', work_dir, format_report(report, parities))
    return report


def _draw(conversion: Conversion, task, reference, backend_files, image: str, folder: Path,
          show: bool) -> None:
    """Draw the predictions of the exported and of the torch model, as MMDeploy's tool does."""
    if getattr(reference, 'test_cfg', None):
        reference.test_cfg['flip_test'] = False  # the exported graph is a single pass
    backend = get_backend(conversion.deploy_cfg).value
    exported = task.build_backend_model(
        backend_files, data_preprocessor_updater=task.update_data_preprocessor)
    for name, model in ((backend, exported), ('pytorch', reference)):
        batch, _ = task.create_input(image)
        with torch.no_grad():
            result = model.test_step(batch)[0]
        task.visualize(image=image, model=model, result=result, window_name=name,
                       output_file=os.fspath(folder / f'output_{name}.jpg'), show_result=show)


def _measure(onnx_file: Path, batch: torch.Tensor, options: DeployOptions) -> dict[str, dict]:
    if not options.rounds:
        return {}
    feed = {onnx.load(onnx_file).graph.input[0].name: batch.cpu().numpy()}
    return {str(threads or os.cpu_count()): Spread.of(np.multiply(1e3, time_onnx(
        {'onnx': onnx_file}, threads, options.rounds, feed=feed)['onnx']).tolist()).as_dict()
        for threads in options.thread_counts}


def _environment() -> dict[str, str]:
    return {'python': platform.python_version(), 'torch': torch.__version__,
                'onnxruntime': onnxruntime.__version__, 'machine': platform.machine()}


def format_report(report: dict, parities: Sequence[OutputParity]) -> str:
    """Lay out a report as a table."""
    table = PrettyTable(['', 'torch', 'ONNX'], align='r')
    counted, exported = report['torch'], report['onnx']
    table.add_row(['parameters', f'{counted["params"]:,}', f'{exported["params"]:,}'])
    table.add_row(['MACs (M)', f'{counted["macs"] / 1e6:.1f}', f'{exported["macs"] / 1e6:.1f}'])
    table.add_row(['file (MB)', '', f'{exported["bytes"] / 1e6:.2f}'])
    for threads, spread in report['latency_ms'].items():
        table.add_row([f'latency, {threads} thread(s) (ms: min / median / max)', '',
                       f'{Spread(**spread):.2f}'])
    for parity in parities:
        table.add_row([f'{parity.name}: largest absolute / relative error', '',
                       f'{parity.max_abs:.2e} / {parity.max_rel:.2e}'])
    table.align[''] = 'l'
    return table.get_string()
