"""Cut a deployed GaitBase into a file for new frames and one for the embedding."""
from __future__ import annotations

import argparse
import sys

import razor_ext  # noqa: F401  (repairs upstream before it is imported)
from razor_ext.deploy.errors import DeployError
from razor_ext.gait.deploy.streaming import split_at_set_pooling


def main() -> None:
    """Write frames.onnx and head.onnx."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('file', help='end2end.onnx of tools/deploy.py')
    parser.add_argument('folder', help='where to write')
    args = parser.parse_args()
    try:
        files = split_at_set_pooling(args.file, args.folder)
    except (DeployError, FileNotFoundError) as error:
        sys.exit(f'split_streaming: {error}')
    print('written: ' + ', '.join(map(str, files)))


if __name__ == '__main__':
    main()
