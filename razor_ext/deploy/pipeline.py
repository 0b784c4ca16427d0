"""What tools/deploy.py does, from the configs to the report."""
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import MMLogger

from razor_ext.engine.atomic import write_json

from .convert import Conversion
from .figures import collect_figures
from .latency.measure import require_faster
from .options import DeployOptions
from .report import format_report
from .steps import (
    build_source,
    check_backend,
    check_inputs,
    convert,
    draw,
    export,
    moved_at_end,
    write_integers,
)

__all__ = ['DeployOptions', 'deploy']


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

    Example:
        ::

            deploy(Config.fromfile('configs/deploy/pose_simcc_onnxruntime_dynamic-256x192.py'),
                   Config.fromfile(model_config), 'compressed.pth', 'person.jpg',
                   DeployOptions(work_dir='work_dirs/deployed', quant='quant.json'))
    """
    images = list(options.test_images) or [image]
    check_inputs(image, images, options, model_cfg)
    conversion = Conversion(deploy_cfg, model_cfg, checkpoint, options.device, options.onnx_only)
    check_backend(conversion, options)
    source = build_source(conversion, images, options)
    work_dir = Path(options.work_dir)
    with moved_at_end(work_dir) as folder:
        result = export(source, image, folder, options)
        result = write_integers(source, result, options)
        if not options.onnx_only:
            result = convert(source, result, folder, options.parity_threshold)
        if options.dump_info:
            conversion.dump_info(folder, integers=result.quantized is not None)
        if (options.draw and not options.onnx_only and conversion.backend.draws
                and getattr(source.task, 'drawable', True)):
            draw(source, result, folder, options)
        report = collect_figures(source, result, options)
        if not options.force:
            require_faster(report['latency'])
        write_json(folder / 'report.json', report)
    MMLogger.get_current_instance().info('results are in %s\n%s', work_dir, format_report(report))
    return report
