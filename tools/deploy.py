"""Convert a model for a backend, prove that it is the same model, and measure it."""
from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split
from mmengine.config import Config
from mmengine.logging import MMLogger

from razor_ext.deploy.checks import check_files, check_model_config
from razor_ext.deploy.errors import AuditError, DeployError, ParityError
from razor_ext.engine import UnreadKeyError, check_config
from razor_ext.engine.console import quiet
from razor_ext.engine.lock import FolderInUseError
from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import ConfigFileError, merge_options, read_config
from razor_ext.graph import GraphError
from razor_ext.quantization import QuantFileError
from razor_ext.structure import StructureError, load_compressed
from razor_ext.structure.rebuild import UnprunedError


def parse_args() -> argparse.Namespace:
    """Read the command line, MMDeploy's own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('deploy_cfg', help='deploy config, e.g. of configs/deploy')
    parser.add_argument('model', nargs='+', metavar='MODEL',
                        help='the compressed folder of a run, or its work directory; or the config '
                        'of a dense or compressed model, and its checkpoint')
    parser.add_argument('img', help='image to trace the model with')
    parser.add_argument('--test-img', nargs='+', default=(), metavar='IMG',
                        help='images to compare the exported model with torch on (default: IMG)')
    parser.add_argument('--work-dir', default='.', help='folder of the results')
    parser.add_argument('--device', default='cpu', help='device of the torch model')
    parser.add_argument('--dump-info', action='store_true',
                        help="also write deploy.json and pipeline.json for MMDeploy's SDK")
    parser.add_argument('--box', nargs=4, type=float, action='append', default=[],
                        metavar=('X', 'Y', 'W', 'H'),
                        help="a person's box on the images of a top-down pose model, in pixels; "
                        'may be repeated (default: those that the test set of the config '
                        'annotates, else the whole image)')
    parser.add_argument('--boxes', metavar='JSON',
                        help="boxes by image: annotations in COCO's format, or a detector's list "
                        'of bbox, score, and file_name or image_id')
    parser.add_argument('--score', type=float, default=0.3,
                        help='smallest score of a keypoint that is drawn (default: 0.3)')
    parser.add_argument('--show', action='store_true', help='show the predictions in a window')
    parser.add_argument('--log-level', default='INFO', choices=list(logging._nameToLevel))
    parser.add_argument('--parity-threshold', type=float, default=1e-4, metavar='ERROR',
                        help='largest difference allowed, absolute up to outputs of size 1 and '
                        'relative above (default: 1e-4)')
    parser.add_argument('--integer-threshold', type=float, default=0.35, metavar='ERROR',
                        help='largest difference of an output of the integers to fake '
                        'quantization, relative L2 over the calibration inputs (default: 0.35)')
    parser.add_argument('--rounds', type=int, default=30,
                        help='runs of the latency measurement, 0 for none (default: 30)')
    parser.add_argument('--quant', metavar='QUANT_JSON',
                        help='quant.json of the run: deploy integers (default: that of the folder)')
    parser.add_argument('--pack-int4', action='store_true',
                        help='with --quant: store weights of 4 bits and fewer two to a byte '
                        '(opset 21); same results, same speed, smaller file')
    parser.add_argument('--calib-img', nargs='+', default=(), metavar='IMG',
                        help='images that show the value ranges between quantized layers '
                        '(default: the test images)')
    parser.add_argument('--calib-dataset-cfg', metavar='CONFIG',
                        help='config whose val_dataloader is used for that instead')
    parser.add_argument('--parent', metavar='ONNX',
                        help='refuse a result slower than this file on one thread (with --quant, '
                        'default: the float file of the same structure)')
    parser.add_argument('--test', action='store_true',
                        help='also run the test set of the model config through torch and through '
                        'each file')
    parser.add_argument('--compare-static', action='store_true',
                        help="with --quant: compare with ONNX Runtime's static int8")
    parser.add_argument('--force', action='store_true', help='accept a slower result')
    parser.add_argument('--onnx-only', action='store_true',
                        help="leave the conversion of the ONNX file to the backend's machine")
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the model config, key=value')
    return parser.parse_intermixed_args()


def load_model(paths: list[str], options: dict) -> tuple[Config, str, str | None]:
    """Load what is to be deployed.

    Args:
        paths: a compressed folder, or a model config and a checkpoint.
        options: changes to the config.

    Returns:
        The config of the model, its checkpoint, and the quant.json of the folder, if any.

    Raises:
        DeployError: there are more or fewer paths, or one does not exist.
        StructureError: the folder cannot be read.
        UnreadKeyError: nothing reads an option.
    """
    if len(paths) == 1:
        if not Path(paths[0]).is_dir():
            raise DeployError(f'{paths[0]!r} is no folder; give the compressed folder of a run, or '
                              'a model config and a checkpoint')
        folder = load_compressed(paths[0])
        # A deployed model is built as floats; its integers are written into the exported file.
        config = folder.run_config(quant=None, checkpoint=None)
        checkpoint, quant = folder.checkpoint_path, folder.quant_path
    elif len(paths) == 2:
        check_files(model_config=paths[0])
        config, checkpoint, quant = read_config(paths[0]), paths[1], None
        check_model_config(config)
    else:
        raise DeployError(f'{len(paths)} paths name the model; give DEPLOY_CFG FOLDER IMG, or '
                          'DEPLOY_CFG MODEL_CFG CHECKPOINT IMG')
    check_config(config, config, options)
    merge_options(config, options)
    return config, str(checkpoint), None if quant is None else str(quant)


def main() -> None:
    """Run the deployment; an input that does not fit ends it with one line."""
    args = parse_args()
    quiet()
    MMLogger.get_instance('deploy', log_level=args.log_level)
    try:
        check_files(deploy_config=args.deploy_cfg)
        deploy_cfg = read_config(args.deploy_cfg)
        model_cfg, checkpoint, quant = load_model(args.model, args.cfg_options)
        from razor_ext.deploy.pipeline import DeployOptions, deploy
        options = DeployOptions(
            test_images=args.test_img, work_dir=args.work_dir, device=args.device,
            dump_info=args.dump_info, show=args.show, score=args.score,
            boxes=args.box, boxes_file=args.boxes, parity_threshold=args.parity_threshold,
            integer_threshold=args.integer_threshold, rounds=args.rounds,
            quant=args.quant or quant, pack_int4=args.pack_int4,
            calibration_images=args.calib_img, calibration_config=args.calib_dataset_cfg,
            parent=args.parent, test=args.test, compare_static=args.compare_static,
            force=args.force, onnx_only=args.onnx_only)
        deploy(deploy_cfg, model_cfg, checkpoint, args.img, options)
    except (AuditError, ConfigFileError, DeployError, FolderInUseError, GraphError, ParityError,
            QuantFileError, StructureError, UnprunedError, UnreadKeyError) as error:
        sys.exit(f'deploy: {error}')


if __name__ == '__main__':
    main()
