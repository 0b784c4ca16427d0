"""The report of a pipeline: one page that needs nothing else and reads well."""
from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from razor_ext.report.page import headline, render, write_report

BROWSER = shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which(
    'google-chrome')

#: Written into a copy of the page: says how wide it is, and the least contrast of its texts.
MEASURE = """<script>
function luminance(c) { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255).map(
  x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
  return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; }
function behind(e) { while (e) { const c = getComputedStyle(e).backgroundColor;
  if (!c.startsWith('rgba(0, 0, 0, 0')) return c; e = e.parentElement; }
  return 'rgb(255,255,255)'; }
window.addEventListener('load', () => { let least = 99;
  for (const e of document.querySelectorAll('h1,h2,p,td,th,span,b,pre,figcaption,summary')) {
    if (!e.textContent.trim()) continue;
    const a = luminance(getComputedStyle(e).color), b = luminance(behind(e));
    least = Math.min(least, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)); }
  const d = document.documentElement;
  d.setAttribute('data-measured', JSON.stringify(
    {overflow: d.scrollWidth - d.clientWidth, contrast: least})); });
</script>"""


def document() -> dict[str, Any]:
    spread = dict(min=1.0, median=1.5, max=2.0)
    stages = [dict(name=name, metrics={'coco/AP': accuracy, 'coco/AR': .6}, params=params,
                   macs=params * 10, bytes=params * 4, bops=bops, latency=spread,
                   ratio=spread) for name, accuracy, params, bops in (
                       ('dense', .5241, 540_443, 39.3e9), ('compressed', .5178, 250_051, 1.05e9))]
    rows = [dict(step=step, loss=1 / step) for step in range(1, 40)] + [
        dict(step=step, **{'coco/AP': .5 + step / 1000}) for step in (10, 20, 30)]
    return dict(
        title='compress_geta_a-model-with-a-rather-long-name_8xb256-420e_coco-256x192',
        command=['python', 'tools/compress.py', 'a b.py', 'dense.pth'], stages=stages,
        units=[dict(name=f'backbone.stage{i}.0.conv_(0, {64 * i})_{64 * i}', channels=64 * i,
                    kept=40 * i) for i in range(1, 9)],
        layers=[dict(name=f'layer{i}', weight=4 + i % 5, activation=8 if i % 3 else None)
                for i in range(30)],
        training=dict(prune=rows, finetune=rows),
        deployment=dict(
            parity=[dict(name='simcc_x', max_abs=6e-7, max_rel=1e-7)], backend_parity=[],
            accuracy=dict(torch={'coco/AP': .5178}, fake_quantization={'coco/AP': .5178},
                          onnx={'coco/AP': .5171}),
            quantization=dict(integer_layers=[1, 2, 3],
                              parity_on_calibration=[dict(relative_l2=.031)]),
            environment=dict(torch='2.13.0', onnxruntime='1.25.1')))


def test_the_page_answers_and_needs_nothing_else(tmp_path: Path) -> None:
    picture = tmp_path / 'pose.jpg'
    cv2.imwrite(str(picture), np.full((32, 24, 3), 128, np.uint8))
    page = write_report(document(), {'dense, torch': picture, 'gone': tmp_path / 'gone.jpg'},
                        tmp_path)
    text = page.read_text(encoding='utf-8')
    assert json.loads((tmp_path / 'report.json').read_text()) == document()
    for expected in ('2.2 times', '1.50 times', '46%', '-0.0063', '0.5171', "'a b.py'", '3.1 %',
                     '1.05 (2.7 %)', 'backbone.stage8.0.conv_(0, 512)_512',
                     'data:image/jpeg;base64,'):
        assert expected.replace("'", '&#39;') in text, expected
    assert text.count('<svg') == 6  # units, bits, and two of each training
    assert 'gone' not in text
    # A link would be loaded from somewhere; namespaces are only names.
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)


def test_a_float_model_that_was_not_timed_has_a_page_too() -> None:
    plain = document()
    plain['layers'] = []
    plain['training'] = {}
    for stage in plain['stages']:
        del stage['latency'], stage['ratio']
    plain['deployment'].update(quantization=None, accuracy={})
    text = render(plain, {})
    assert 'bits' not in text
    assert 'latency' not in text


def test_names_are_escaped() -> None:
    hostile = document()
    hostile['units'][0]['name'] = '<script>alert(1)</script>'
    assert '<script>' not in render(hostile, {})


def test_a_better_result_is_shown_as_such() -> None:
    stages = document()['stages']
    stages[1]['metrics']['coco/AP'] = .6
    assert ('+0.0759', 'coco/AP: 0.5241 to 0.6000') in headline(*stages, 'coco/AP')


@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
@pytest.mark.parametrize(('width', 'dark'), [(390, True), (1200, False)])
def test_a_browser_shows_it_without_overflow_and_readably(width: int, dark: bool, tmp_path: Path
                                                          ) -> None:
    text = render(document(), {}).replace('</body>', MEASURE + '</body>')
    if dark:  # what the preference of the reader selects
        text = text.replace('(prefers-color-scheme: dark)', 'all')
    # A headless window is no narrower than 500 pixels; a frame is as narrow as it is told.
    (tmp_path / 'page.html').write_text(text.replace("d.setAttribute", "parent.document"
                                                     ".documentElement.setAttribute"))
    (tmp_path / 'frame.html').write_text(
        f'<iframe src="page.html" width="{width}" height="3000" frameborder="0"></iframe>')
    shown = subprocess.run(
        [str(BROWSER), '--headless', '--no-sandbox', '--disable-gpu',
         '--allow-file-access-from-files', '--virtual-time-budget=5000', '--window-size=1400,3200',
         f'--screenshot={tmp_path}/shot.png', '--dump-dom', f'file://{tmp_path}/frame.html'],
        capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'data-measured="([^"]+)"', shown)
    assert found, shown[:500]
    measured = json.loads(found[1].replace('&quot;', '"'))
    assert measured['overflow'] <= 0
    assert measured['contrast'] >= 4.5
