"""Draw silhouettes of a data set by condition, or rank-1 by view of finished runs."""
from __future__ import annotations

import argparse
from pathlib import Path

from mmengine.registry import DATASETS

import razor_ext  # noqa: F401  (registers the data sets)
from razor_ext.engine.json_file import read_json
from razor_ext.engine.tool_config import read_config
from razor_ext.gait.visualization import condition_rows, save_image, silhouette_strip, view_chart


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest='command', required=True)
    strip = commands.add_parser('strip', help='silhouettes of each condition')
    strip.add_argument('config', help='config whose test set is drawn')
    strip.add_argument('out', help='image to write')
    strip.add_argument('--subject', help='subject; the first by default')
    strip.add_argument('--view', help='view; the middle one by default')
    strip.add_argument('--frames', type=int, default=12, help='frames per condition')
    chart = commands.add_parser('chart', help='rank-1 by view')
    chart.add_argument('figures', nargs='+', help='rank1_by_view.json of one or several runs')
    chart.add_argument('out', help='image to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        if args.command == 'strip':
            dataset = DATASETS.build(read_config(args.config).test_dataloader.dataset)
            rows = condition_rows(dataset, args.subject, args.view)
            image = silhouette_strip(rows, args.frames)
        else:
            lines = {}
            for path in args.figures:
                run = '' if len(args.figures) == 1 else f'{Path(path).parent.parent.name} '
                for name, by_view in read_json(path).items():
                    lines[run + name] = by_view
            image = view_chart(lines)
        save_image(image, args.out)
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(args.out)


if __name__ == '__main__':
    main()
