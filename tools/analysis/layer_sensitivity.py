"""Which layers does uniform post-training quantization hurt? Each alone, and all together.

    python tools/analysis/layer_sensitivity.py CONFIG CHECKPOINT --bits 8 6 5 4 --out sensitivity

The usual recipe by default: one step per tensor, signed, range from the extremes. Writes OUT.json,
and OUT.svg with the layers that lose most.
"""
from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner, load_checkpoint
from prettytable import PrettyTable
from torch import nn

import razor_ext  # noqa: F401  (repairs upstream, before anything of OpenMMLab is used)
from razor_ext.engine import load_tool_config, write_json
from razor_ext.quantization import (
    QuantConfig,
    calibrate,
    find_products,
    quantize_model,
    quantizer_handles,
)
from razor_ext.quantization.calibration import RANGE_METHODS
from razor_ext.quantization.config import ACTIVATION_SCHEMES, GRANULARITIES


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('config', help='config of the dense or compressed float model')
    parser.add_argument('checkpoint', help='its checkpoint')
    parser.add_argument('--bits', type=int, nargs='+', default=[8],
                        help='widths to try on all layers; each layer alone gets the last')
    parser.add_argument('--metric', default='coco/AP')
    parser.add_argument('--method', choices=sorted(RANGE_METHODS), default='minmax')
    parser.add_argument('--granularity', choices=GRANULARITIES, default='tensor')
    parser.add_argument('--scheme', choices=ACTIVATION_SCHEMES, default='signed')
    parser.add_argument('--batches', type=int, default=8, help='calibration batches')
    parser.add_argument('--out', default='work_dirs/layer_sensitivity')
    return parser.parse_args()


class Model:
    """A trained model, quantized as often as asked, and tested.

    Args:
        args: the command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.cfg = load_tool_config(args.config)
        self.cfg.model['_scope_'] = self.cfg.default_scope
        init_default_scope(self.cfg.default_scope)
        loader = Runner.build_dataloader(self.cfg.train_dataloader, seed=0)
        preprocess = self._float().data_preprocessor
        self.batches = [(preprocess(batch, False)['inputs'], None)
                        for _, batch in zip(range(args.batches), loader)]

    def _float(self) -> nn.Module:
        from mmrazor.registry import MODELS
        model = MODELS.build(self.cfg.model)
        load_checkpoint(model, self.args.checkpoint, map_location='cpu')
        model.init_weights = lambda: None
        return model.eval()

    def quantized(self, bits: int) -> nn.Module:
        """Return the model with every layer on a uniform grid of `bits` bits."""
        model, args = self._float(), self.args
        config = QuantConfig(
            weight_bits=(bits, bits), activation_bits=(bits, bits), weight_power=False,
            weight_granularity=args.granularity, activation_scheme=args.scheme)
        quantize_model(model, config, find_products(model, self.batches[0]))
        calibrate(model, self.batches, method=args.method)
        return model

    def test(self, model: nn.Module) -> float:
        """Return the metric of a model."""
        cfg = self.cfg
        runner = Runner(model=model, work_dir=str(Path(self.args.out).parent), cfg=cfg,
                        test_dataloader=cfg.test_dataloader, test_cfg=cfg.test_cfg,
                        test_evaluator=cfg.test_evaluator, default_scope=cfg.default_scope,
                        experiment_name=f'sensitivity{id(model)}', log_level='WARNING')
        return runner.test()[self.args.metric]


@contextmanager
def only(model: nn.Module, layer: str) -> Iterator[None]:
    """Quantize the operands of one layer alone."""
    handles = quantizer_handles(model)
    for handle in handles:
        handle.quantizer.enabled = handle.name.rpartition('.')[0] == layer
    try:
        yield
    finally:
        for handle in handles:
            handle.quantizer.enabled = True


def draw(losses: dict[str, float], path: Path, metric: str, bits: int) -> None:
    """Draw the layers that lose most as bars."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    worst = sorted(losses, key=losses.get)[-20:]
    figure = Figure((8, 0.3 * len(worst) + 1.2), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.barh(worst, [losses[name] for name in worst], color='#4c72b0')
    axes.set_xlabel(f'{metric} lost with this layer alone at {bits} bits')
    figure.savefig(path)


def main() -> None:
    """Test the float model, all layers at each width, and each layer alone at the last width."""
    args = parse_args()
    torch.set_num_threads(1)
    bench = Model(args)
    table = PrettyTable(['quantized', 'bits', args.metric, 'lost'], align='r')
    table.align['quantized'] = 'l'
    dense = bench.test(bench._float())
    table.add_row(['nothing', '', f'{dense:.4f}', ''])
    together = {}
    for bits in args.bits:
        model = bench.quantized(bits)
        together[bits] = bench.test(model)
        table.add_row(['all layers', bits, f'{together[bits]:.4f}',
                       f'{dense - together[bits]:.4f}'])
    losses = {}
    for layer in dict.fromkeys(h.name.rpartition('.')[0] for h in quantizer_handles(model)):
        with only(model, layer):
            losses[layer] = dense - bench.test(model)
    for layer in sorted(losses, key=losses.get, reverse=True):
        table.add_row([layer, bits, f'{dense - losses[layer]:.4f}', f'{losses[layer]:.4f}'])
    print(table)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out.with_suffix('.json'), dict(metric=args.metric, dense=dense, uniform=together,
                                              lost_alone=losses, settings=vars(args)))
    draw(losses, out.with_suffix('.svg'), args.metric, bits)


if __name__ == '__main__':
    main()
