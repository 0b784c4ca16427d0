"""Evaluate a deployed file on the test set of its model's config."""
from __future__ import annotations

import argparse
import sys

import razor_ext  # noqa: F401  first: it repairs what is imported below

# isort: split

from razor_ext.deploy.checks import check_files
from razor_ext.deploy.errors import DeployError
from razor_ext.engine import write_json
from razor_ext.engine.console import quiet
from razor_ext.engine.option_action import OptionAction
from razor_ext.engine.tool_config import ConfigFileError, merge_options, read_config


def parse_args() -> argparse.Namespace:
    """Read the command line; its beginning is that of MMDeploy's tools/test.py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('deploy_cfg', help='deploy config the file was made with')
    parser.add_argument('model_cfg', help='config of the model, with test_dataloader and '
                        'test_evaluator')
    parser.add_argument('file', help='end2end.onnx of tools/deploy.py, or '
                        "OpenVINO's end2end.xml or ncnn's end2end.param beside it")
    parser.add_argument('--out', help='the file to save metric results, JSON')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, default={},
                        help='changes to the model config, key=value')
    return parser.parse_args()


def main() -> None:
    """Run the evaluation; an input that does not fit ends it with one line."""
    args = parse_args()
    quiet()
    try:
        check_files(deploy_config=args.deploy_cfg, model_config=args.model_cfg, file=args.file)
        deploy_cfg = read_config(args.deploy_cfg)
        model_cfg = read_config(args.model_cfg)
        merge_options(model_cfg, args.cfg_options)
        from razor_ext.deploy.evaluate import evaluate_file
        metrics = evaluate_file(deploy_cfg, model_cfg, args.file)
    except (ConfigFileError, DeployError) as error:
        sys.exit(f'test_deployed: {error}')
    for name, value in metrics.items():
        print(f'{name}: {value:.4f}')
    if args.out is not None:
        write_json(args.out, metrics)


if __name__ == '__main__':
    main()
