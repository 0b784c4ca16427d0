"""Turn a tree of pickles of silhouettes, or of other maps, into a memory-mapped store, once.

The store holds plain bytes and an index, so nothing is unpickled afterwards, and all workers of a
machine share one copy in the page cache. Point ``data_prefix=dict(path=...)`` at it.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.utils import track_iter_progress

from razor_ext.gait.datasets import (
    SequenceError,
    SequenceKey,
    load_sequence,
    scan_tree,
    write_store,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='root of the pickle tree <subject>/<condition>/<view>/*.pkl')
    parser.add_argument('target', help='directory of the store, which must not exist yet')
    parser.add_argument('--on-corrupt', choices=('raise', 'skip'), default='raise',
                        help='stop at an unreadable sequence, or report it and leave it out')
    parser.add_argument('--data-in-use', type=int, nargs='+',
                        help='which pickles of a sequence are read, from 0 in sorted order, where '
                        'a data set keeps several beside each other')
    return parser.parse_args()


def sequences(source: str, on_corrupt: str, data_in_use: Sequence[int] | None
              ) -> Iterator[tuple[SequenceKey, np.ndarray]]:
    """Yield every sequence of a tree."""
    for key, paths in track_iter_progress(list(scan_tree(source, data_in_use))):
        try:
            if not paths:
                raise SequenceError(f'{source}/{"/".join(key)}: the directory holds no pickle, or '
                                    'not all that --data-in-use asks for')
            yield key, load_sequence(paths)
        except SequenceError as error:
            if on_corrupt == 'raise':
                raise
            print(f'\nleft out: {error}')


def main() -> None:
    args = parse_args()
    if args.data_in_use is not None and min(args.data_in_use) < 0:
        raise SystemExit(f'error: --data-in-use must be at least 0, not {min(args.data_in_use)}')
    try:
        count = write_store(args.target, sequences(args.source, args.on_corrupt,
                                                     args.data_in_use))
    except (ValueError, OSError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'\n{count} sequences in {args.target}')


if __name__ == '__main__':
    main()
