"""Run the architecture families of the zoo through analysis and proof, and write their table.

One config stands for each combination of model, backbone, neck and head types. Each is built,
without the weights that it may name, in a process of its own under limits of time and memory. Rows
are written to a JSON file as they come: run it again to go on, with `--match` and `--redo` to make
some anew. `--docs docs/zoo.md` puts the table between the marks of that file.
"""
from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import json
import logging
import multiprocessing
import os
import platform
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo import PACKAGES, config_names, family_of, root_of, type_name

BEGIN, END = '<!-- begin: table of the zoo -->', '<!-- end: table of the zoo -->'
#: What no model can do with mmcv-lite, or that is not one network.
REASONS = {
    'mmcv.ops': 'needs a compiled operator of the full mmcv',
    'deform_conv': 'deformable convolution, a compiled operator of the full mmcv',
    'setup_context': 'a compiled operator of the full mmcv',
    'DynamicOutputShape': 'shapes depend on the data: it picks what scores high enough',
    'Distill': 'a distiller: compress the student, a model of another row'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--packages', nargs='+', default=list(PACKAGES), choices=list(PACKAGES))
    parser.add_argument('--match', default='', help='only configs with this in their path')
    parser.add_argument('--every', action='store_true',
                        help='every config, not one of each family')
    parser.add_argument('--redo', action='store_true', help='make rows that are there anew')
    parser.add_argument('--seconds', type=int, default=180, help='limit of a model, of CPU')
    parser.add_argument('--memory', type=int, default=6, help='limit of a model, in GiB')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/zoo/zoo.json'))
    parser.add_argument('--docs', type=Path, help='file whose table is replaced')
    parser.add_argument('--list', action='store_true', help='only list the configs')
    return parser.parse_args()


# ---- one model, in a process of its own
def without_weights(config: Any) -> Any:
    """Return a config without the checkpoints that its modules would load."""
    if isinstance(config, Mapping):
        return type(config)({key: without_weights(value) for key, value in config.items()
                             if key not in ('init_cfg', 'pretrained')})
    if isinstance(config, (list, tuple)):
        return type(config)(without_weights(item) for item in config)
    return config


def input_shape(cfg: Any, package: str) -> tuple[int, ...]:
    """Return the shape of an input for a model that no family of the package knows."""
    model, codec = cfg.model, cfg.get('codec')
    if model.type == 'PoseLifter':
        channels, frames = model.backbone.in_channels, model.backbone.get('seq_len')
        if frames is not None:  # DSTFormer: [batch, frames, joints, coordinates]
            return 1, min(frames, 27), model.backbone.get('num_keypoints', 17), channels
        length = 1
        for kernel in model.backbone.kernel_sizes:  # TCN: its receptive field
            length *= kernel
        return 1, channels, length
    if package == 'mmpose':
        size = (codec or {}).get('input_size') or cfg.get('input_size', (256, 256))
        size = (size, size) if isinstance(size, int) else size
        return 1, 3, size[1], size[0]
    if package == 'mmseg' and type_name(model.decode_head) not in ('PSAHead', 'LRASPPHead'):
        channels = model.backbone.get('in_channels', 3)  # 6 of two images
        return 1, channels if isinstance(channels, int) else 3, 256, 256
    if package == 'mmseg':
        size = cfg.get('crop_size') or (model.get('data_preprocessor') or {}).get('size')
        return 1, 3, *size
    if package == 'mmdet':
        return 1, 3, 320, 320
    backbone = model.get('backbone') or {}
    size = backbone.get('img_size') or crop_size(cfg) or 224
    channels = 1 if backbone.get('type') == 'LeNet5' else 3
    return 1, channels, *((size, size) if isinstance(size, int) else size)


def crop_size(cfg: Any) -> int | None:
    """Return the size that the test pipeline of a classifier crops to."""
    loader = cfg.get('test_dataloader') or {}
    for step in (loader.get('dataset') or {}).get('pipeline') or ():
        size = step.get('crop_size') or step.get('scale')
        if step['type'] in ('CenterCrop', 'Resize') and isinstance(size, int):
            return size
    return None


def measure(config: str) -> dict[str, Any]:
    """Build the model of a config, analyse and prove it.

    Returns:
        Its row.
    """
    import torch
    from mmengine.registry import MODELS, init_default_scope

    import razor_ext  # noqa: F401  repairs of upstream come before its import
    from razor_ext.engine import load_tool_config
    from razor_ext.engine.families import find_demo_input
    from razor_ext.graph import analyze
    from razor_ext.structure import build_demo_input
    torch.set_num_threads(1)
    torch.manual_seed(0)
    package = config.partition('::')[0]
    cfg = load_tool_config(config, None)
    init_default_scope(cfg.get('default_scope', package))
    model = MODELS.build(without_weights(cfg.model)).eval()
    if package in ('mmdet', 'mmpretrain') or find_demo_input(model) is None:
        data = torch.randn(input_shape(cfg, package))
        shape: Any = tuple(data.shape)
    else:
        data = build_demo_input(None).get_data(model)
        inputs = data['inputs'] if isinstance(data, Mapping) else data
        shape = tuple(getattr(inputs, 'shape', ()))
    row: dict[str, Any] = {
        'input': shape, 'parameters': sum(p.numel() for p in model.parameters())}
    start, cpu = time.perf_counter(), time.process_time()
    analyze(model, data, verify=False)
    row['trace_seconds'] = time.process_time() - cpu
    start, cpu = time.perf_counter(), time.process_time()
    graph = analyze(model, data)
    row.update(seconds=time.process_time() - cpu, wall_seconds=time.perf_counter() - start,
               macs=graph.total_macs, units=len(graph.units), reachable=graph.reachable_share,
               refused=dict(graph.refused), why=why(graph))
    row.update(error=graph.evidence.error, whole=graph.evidence.whole,
               copies=graph.evidence.copies)
    return row


def why(graph: Any) -> list[str]:
    """Return what keeps parameters from being prunable, with their share, the most first."""
    sizes = {name: tensor.numel() for name, tensor in graph.model.named_parameters()}
    reached = {member.name for unit in graph.units for member in unit.members}
    frozen: dict[str, list[str]] = {}
    for entry in graph.frozen:
        reason = entry.reason
        if entry.operator:
            reason = f'{entry.operator}: ' + reason.replace(f'{entry.operator} ', '')
        frozen.setdefault(entry.parameter, []).append(reason)
    refused = Counter(re.split(r' \(|;|: expected| at /', reason)[0]
                      for reason in graph.refused.values()).most_common(1)
    reasons: Counter[str] = Counter()
    for name in sizes.keys() - reached:
        found = frozen.get(name) or [f'refused: {text}' for text, _ in refused]
        for reason in found:
            reasons[reason] += sizes[name] / len(found)
    total = sum(sizes.values())
    return [f'{reason} ({100 * size / total:.1f} %)' for reason, size in reasons.most_common(4)
            if size >= 0.001 * total]


def one(config: str, file: str) -> None:
    """Write the row of a config to a file, or why there is none."""
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    try:
        row = measure(config)
    except Exception as error:  # whatever a model of the zoo raises is what is asked for
        lines = str(error).strip().splitlines() or ['']
        row = {'failed': f'{type(error).__name__}: {lines[0]}', 'text': lines[:12]}
    Path(file).write_text(json.dumps(row), encoding='utf-8')


# ---- all of them
def families(packages: list[str], match: str, every: bool) -> Iterator[tuple[str, str, str]]:
    """Yield package, family and config of what is to be run."""
    from mmengine.config import Config

    import razor_ext  # noqa: F401  configs import packages that it repairs
    for package in packages:
        found: dict[str, str] = {}
        for name in config_names(package, PACKAGES[package], match if every else ''):
            try:
                model = Config.fromfile(root_of(package) / name).get('model')
            except Exception as error:  # of a config of the zoo
                print(f'{package}::{name} cannot be read: {type(error).__name__}', file=sys.stderr)
                continue
            if model is None or 'rpn_head' in model or 'deploy' in Path(name).parts \
                    or (package == 'mmdet' and 'head' in model):
                continue  # two stages, a classifier, or a model that is deployed already
            family = family_of(model)
            if every:
                found[name] = family
            else:  # the shortest name is the plainest configuration
                old = next((key for key, value in found.items() if value == family), None)
                if old is None or len(Path(name).name) < len(Path(old).name):
                    found.pop(old or '', None)
                    found[name] = family
        for name, family in found.items():
            if match in name:
                yield package, family, name


def run(config: str, seconds: int, memory: int) -> dict[str, Any]:
    """Measure a config in a process of its own, a fork of this one, which has the imports."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'row.json'
        process = multiprocessing.get_context('fork').Process(
            target=limited, args=(config, str(file), seconds, memory))
        process.start()
        process.join(20 * seconds)
        if process.is_alive():
            process.kill()
            process.join()
            return {'failed': f'not done after {20 * seconds} s'}
        if process.exitcode == -signal.SIGXCPU:
            return {'failed': f'not done after {seconds} s of CPU'}
        if not file.exists():
            return {'failed': f'the process ended with status {process.exitcode}'}
        return json.loads(file.read_text(encoding='utf-8'))


def limited(config: str, file: str, seconds: int, memory: int) -> None:
    """Write the row of a config to a file, under limits of CPU seconds and of memory in GiB."""
    spent = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_DATA, (memory << 30, memory << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (spent + seconds, spent + seconds + 5))
    with open(os.devnull, 'w') as null, contextlib.redirect_stdout(null), \
            contextlib.redirect_stderr(null):
        one(config, file)


def import_models(packages: list[str]) -> None:
    """Import what every model needs, once for all the processes."""
    import razor_ext  # noqa: F401  repairs of upstream come before its import
    from razor_ext.engine import load_tool_config  # noqa: F401
    for package in packages:
        importlib.import_module(f'{package}.models')


def write(path: Path, rows: Mapping[str, Any]) -> None:
    """Write all rows at once, so that a file is whole whenever the run ends."""
    from razor_ext.engine.atomic import write_json
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, rows)


# ---- the table
def reason_of(row: Mapping[str, Any]) -> str:
    """Return why a row reached less than all, in a cell of the table."""
    text = row.get('failed')
    if text is None:
        return '; '.join(row['why'][:3]) if row['reachable'] < 0.995 else '-'
    everything = ' '.join([row['family'], text, *row.get('text', ())])
    for mark, reason in REASONS.items():
        if mark in everything:
            return f'**none**: {reason}'
    return f'**none**: {text[:160]}'


def table(rows: Mapping[str, Any]) -> str:
    """Return the table of the docs, with what it sums up to."""
    good = [row for row in rows.values() if 'failed' not in row]
    high = sum(row['reachable'] >= 0.95 for row in good)
    slow = sum(row['seconds'] > 20 for row in good)
    lines = [f'{len(rows)} families: {len(good)} analysed and proved, {high} of them with at '
             f'least 95 % of their parameters reachable; {slow} took more than 20 s of CPU to '
             f'analyse and prove. {platform.machine()}, one thread, {datetime.date.today()}.', '']
    for package in PACKAGES:
        chosen = {key: row for key, row in rows.items() if row['package'] == package}
        if not chosen:
            continue
        lines += [f'### {package}', '',
                  '| family | config | input | M parameters | G MACs | units | reachable % | '
                  'seconds | error | why not |', '|---|---|---|---|---|---|---|---|---|---|']
        for row in sorted(chosen.values(), key=lambda row: (row['family'], row['config'])):
            cells = ['-'] * 7
            if 'failed' not in row:
                cells = ['x'.join(map(str, row['input'])), f'{row["parameters"] / 1e6:.1f}',
                         f'{row["macs"] / 1e9:.2f}', str(row['units']),
                         f'{100 * row["reachable"]:.1f}', f'{row["seconds"]:.1f}',
                         f'{row["error"]:.0e}']
            why_not = reason_of(row).replace('|', '/').replace('\n', ' ')
            lines.append(f'| {row["family"]} | {Path(row["config"]).stem} | '
                         + ' | '.join(cells) + f' | {why_not} |')
        lines.append('')
    return '\n'.join(lines)


def put_table(path: Path, text: str) -> None:
    """Replace the table of a file, between its marks."""
    before, begin, rest = path.read_text(encoding='utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f'{path} has no lines {BEGIN!r} and {END!r} for the table')
    path.write_text(f'{before}{BEGIN}\n\n{text}\n{END}{after}', encoding='utf-8')


def main() -> None:
    args = parse_args()
    warnings.simplefilter('ignore')
    logging.disable(logging.WARNING)
    rows = json.loads(args.out.read_text(encoding='utf-8')) if args.out.exists() else {}
    chosen = list(families(args.packages, args.match, args.every))
    todo = [item for item in chosen if args.redo or f'{item[0]}::{item[2]}' not in rows]
    if args.list:
        print('\n'.join(f'{package}::{name}: {family}' for package, family, name in chosen))
        return
    os.environ.update(HF_HUB_OFFLINE='1')
    import_models(sorted({item[0] for item in todo}))
    start = time.perf_counter()
    for number, (package, family, name) in enumerate(todo, 1):
        config = f'{package}::{name}'
        row = run(config, args.seconds, args.memory)
        rows[config] = {'package': package, 'family': family, 'config': name, **row}
        write(args.out, rows)
        left = (time.perf_counter() - start) / number * (len(todo) - number)
        result = row.get('failed') or (f'{row["units"]} units, {100 * row["reachable"]:.1f} %, '
                                       f'{row["seconds"]:.1f} s, error {row["error"]:.0e}')
        print(f'{number}/{len(todo)}, {left / 60:.0f} min left: {config}: {result}', flush=True)
    text = table(rows)
    if args.docs:
        put_table(args.docs, text)
    print(text.partition('\n')[0])


if __name__ == '__main__':
    main()
