"""Translate an OpenGait YAML file into a config."""
from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import yaml
from mmengine.config import Config

from razor_ext.gait.opengait_config import SettingError, convert

BASES = Path(__file__).resolve().parents[2] / 'configs' / 'gait' / '_base_'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='YAML file to read')
    parser.add_argument('target', help='config to write, ending in .py')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    target = Path(args.target)
    try:
        with open(args.source) as file:
            base, config = convert(yaml.safe_load(file))
        target.parent.mkdir(parents=True, exist_ok=True)
        bases = [os.path.relpath(BASES / name, target.parent.resolve())
                 for name in (f'datasets/{base}.py', 'runtime.py')]
        with tempfile.NamedTemporaryFile('w', dir=target.parent, suffix='.py',
                                         delete=False) as file:
            file.write(Config({'_base_': bases, **config}).pretty_text)
        Config.fromfile(file.name)
        os.chmod(file.name, 0o644)
        os.replace(file.name, target)
    except (SettingError, yaml.YAMLError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(target)


if __name__ == '__main__':
    main()
