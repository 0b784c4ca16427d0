"""Translate an OpenGait YAML file into a config."""
from __future__ import annotations

import argparse
from pathlib import Path

from razor_ext.gait.convert import SettingError, convert_settings, read_settings, write_config

BASES = Path(__file__).resolve().parents[2] / 'configs' / 'gait' / '_base_'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='YAML file to read')
    parser.add_argument('target', help='config to write, ending in .py')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        settings = read_settings(args.source)
    except SettingError as error:
        raise SystemExit(f'error: {error}') from error
    try:
        converted = convert_settings(settings)
        write_config(converted, args.target, BASES)
    except (SettingError, OSError) as error:
        raise SystemExit(f'error: {args.source}: {error}') from error
    for note in converted.notes:
        print(f'note: {note}')
    print(args.target)


if __name__ == '__main__':
    main()
