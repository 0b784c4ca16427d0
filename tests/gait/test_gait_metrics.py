from __future__ import annotations

import csv
import itertools
import logging
import os

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MMLogger
from mmengine.registry import METRICS

import razor_ext  # noqa: F401
from razor_ext.gait.evaluation import BlockDistance, EmbeddingSet, part_distance

CASIA = [*(f'nm-{i:02d}' for i in range(1, 7)), 'bg-01', 'bg-02', 'cl-01', 'cl-02']


def samples(subjects, conditions, views, parts=3, channels=4, noise=0.8, seed=0):
    """Embeddings of subjects that differ by condition and view."""
    rng = np.random.default_rng(seed)
    centre = {s: rng.standard_normal((channels, parts)) for s in subjects}
    out = []
    for i, (s, c, v) in enumerate(itertools.product(subjects, conditions, views)):
        e = centre[s] + noise * rng.standard_normal((channels, parts))
        out.append({'sample_idx': i, 'subject': s, 'condition': c, 'view': v,
                    'path': f'{s}/{c}/{v}', 'embedding': torch.tensor(e, dtype=torch.float32)})
    return out


def distance(a, b, kind):
    values = []
    for p in range(a.shape[1]):
        x, y = a[:, p].double(), b[:, p].double()
        values.append(float((x - y).norm()) if kind == 'euclidean'
                      else 1 - float(x @ y / x.norm() / y.norm()))
    return sum(values) / len(values)


def slow_single_view(data, probes, gallery, views, kind):
    """Per-condition mean, straight from the protocol."""
    result = {}
    for name, conditions in probes.items():
        rows = []
        for pv in views:
            cells = {}
            for gv in views:
                hits = []
                for q in data:
                    if q['condition'] in conditions and q['view'] == pv:
                        near = min((g for g in data
                                    if g['condition'] in gallery and g['view'] == gv),
                                   key=lambda g: distance(q['embedding'], g['embedding'], kind))
                        hits.append(near['subject'] == q['subject'])
                cells[gv] = round(100 * sum(hits) / len(hits), 2)
            rows.append((sum(cells.values()) - cells[pv]) / (len(views) - 1))
        result[name] = rows
    return result


def slow_retrieval(queries, gallery, drop_same_view):
    """Rank of the first match, average precision and INP of every query that has a match."""
    rows = []
    for q in queries:
        ranked = sorted((g for g in gallery
                         if not (drop_same_view and g['subject'] == q['subject']
                                 and g['view'] == q['view'])),
                        key=lambda g: distance(q['embedding'], g['embedding'], 'euclidean'))
        places = [i + 1 for i, g in enumerate(ranked) if g['subject'] == q['subject']]
        if places:
            ap = sum((k + 1) / place for k, place in enumerate(places)) / len(places)
            rows.append((places[0], ap, len(places) / places[-1]))
    return np.array(rows)


def run(metric, data, **meta):
    metric = METRICS.build(metric)
    metric.dataset_meta = meta
    for i in range(0, len(data), 7):
        metric.process({}, data[i:i + 7])
    return metric, metric.evaluate(len(data))


@pytest.mark.parametrize('kind', ['euclidean', 'cosine'])
def test_part_distance(kind):
    torch.manual_seed(0)
    x, y = torch.randn(3, 4, 5), torch.randn(3, 6, 5)
    expected = torch.tensor([[distance(x[:, i].T, y[:, j].T, kind) for j in range(6)]
                             for i in range(4)])
    assert torch.allclose(part_distance(x, y, kind), expected, atol=1e-5)
    with pytest.raises(ValueError, match="'manhattan'"):
        BlockDistance('manhattan')


@pytest.mark.smoke
@pytest.mark.parametrize(('kind', 'block'), [('euclidean', 2048), ('cosine', 3),
                                             ('euclidean', 5)])
def test_casiab_single_view(kind, block):
    views = ['000', '018', '036']
    data = samples(['001', '002', '003', '004'], CASIA, views)
    metric, result = run({'type': 'CASIABMetric', 'distance': kind, 'block': block}, data)
    expected = slow_single_view(
        data, {'NM': ['nm-05', 'nm-06'], 'BG': ['bg-01', 'bg-02'], 'CL': ['cl-01', 'cl-02']},
        ['nm-01', 'nm-02', 'nm-03', 'nm-04'], views, kind)
    for name, rows in expected.items():
        assert result[f'gait/{name}'] == pytest.approx(np.mean(rows), abs=1e-5)
        assert list(metric.view_figures[name]) == views
        assert list(metric.view_figures[name].values()) == pytest.approx(rows, abs=1e-5)
    assert 20 < result['gait/mean'] < 95  # neither chance nor perfect: the parity means something


def test_casiab_cross_view():
    views = ['000', '018', '036']
    data = samples(['001', '002', '003', '004'], CASIA, views, noise=1.2)
    _, result = run({'type': 'CASIABMetric', 'protocols': ('cross_view',), 'block': 7}, data)
    gallery = [d for d in data if d['condition'] in ('nm-02', 'bg-02', 'cl-02')]
    for name in ('NM', 'BG', 'CL'):
        by_view = []
        for v in views:
            queries = [d for d in data if d['condition'] == f'{name.lower()}-01'
                       and d['view'] == v]
            rows = slow_retrieval(queries, gallery, True)
            by_view.append([(rows[:, 0] == 1).mean() * 100, rows[:, 1].mean() * 100])
        r1, mean_ap = np.mean(np.round(by_view, 2), 0)
        assert result[f'gait/{name}_cross_R1'] == pytest.approx(r1, abs=1e-5)
        assert result[f'gait/{name}_cross_mAP'] == pytest.approx(mean_ap, abs=1e-5)


def test_oumvlp():
    views = ['000', '015', '180']
    data = samples([f'{i:05d}' for i in range(6)], ['00', '01'], views)
    _, result = run({'type': 'OUMVLPMetric'}, data)
    expected = slow_single_view(data, {'NM': ['00']}, ['01'], views, 'euclidean')
    assert result == {'gait/NM': pytest.approx(np.mean(expected['NM']), abs=1e-5)}


def test_gait3d():
    data = samples([f'{i:04d}' for i in range(8)], ['camid0', 'camid1'], ['s0', 's1'], noise=1.5)
    lonely = {**data[0], 'sample_idx': len(data), 'subject': '9999', 'view': 's7'}
    data.append(lonely)
    probe_set = ['0000-camid0-s0', '0003-camid1-s1', '0005-camid0-s1', '0007-camid1-s0',
                 '9999-camid0-s7']
    _, result = run({'type': 'Gait3DMetric', 'block': 6}, data, probe_set=probe_set)
    name = {'-'.join((d['subject'], d['condition'], d['view'])): d for d in data}
    queries = [name[p] for p in probe_set]
    rows = slow_retrieval(queries, [d for k, d in name.items() if k not in probe_set], False)
    assert len(rows) == 4  # the probe without a match is skipped
    for k in (1, 5, 10):
        assert result[f'gait/R{k}'] == pytest.approx((rows[:, 0] <= k).mean() * 100)
    assert result['gait/mAP'] == pytest.approx(rows[:, 1].mean() * 100, abs=1e-5)
    assert result['gait/mINP'] == pytest.approx(rows[:, 2].mean() * 100, abs=1e-5)
    with pytest.raises(ValueError, match='0 of 33 test sequences'):
        run({'type': 'Gait3DMetric'}, data, probe_set=['nobody-0-0'])


def test_grew_submission(tmp_path):
    data = samples([f'{i:05d}' for i in range(12)], ['01', '02'], ['a'])
    probes = samples(['probe'], ['03'], ['video7', 'video9'], seed=1)
    for d in probes:
        d['sample_idx'] += len(data)
    path = tmp_path / 'out' / 'submission.csv'
    _, result = run({'type': 'GREWSubmission', 'path': str(path)}, data + probes)
    rows = list(csv.reader(path.open()))
    assert result == {'gait/probes': 2} and len(rows) == 3
    assert rows[0] == ['videoId', *(f'rank{i}' for i in range(1, 21))]
    for row, q in zip(rows[1:], probes):
        ranked = sorted(data, key=lambda g: distance(q['embedding'], g['embedding'], 'euclidean'))
        assert row == [q['view'], *(str(int(g['subject'])) for g in ranked[:20])]
    assert os.listdir(path.parent) == ['submission.csv']
    with pytest.raises(ValueError, match='ranks 20'):
        run({'type': 'GREWSubmission', 'path': str(path)}, data[:8] + probes)


def test_duplicates_do_not_count():
    data = samples(['001', '002', '003'], CASIA, ['000', '090'])
    _, alone = run({'type': 'CASIABMetric'}, data)
    metric = METRICS.build({'type': 'CASIABMetric'})
    metric.process({}, data + data[:5])
    assert metric.evaluate(len(data) + 5) == alone


def _rank(rank, path, data, queue):
    torch.distributed.init_process_group('gloo', f'file://{path}', rank=rank, world_size=2)
    metric = METRICS.build({'type': 'CASIABMetric', 'collect_dir': f'{path}.collected'})
    mine = data[rank::2]
    metric.process({}, mine + data[:1] if len(mine) * 2 < len(data) + 1 else mine)
    queue.put((rank, metric.evaluate(len(data))))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_two_ranks_have_the_table_of_one(tmp_path):
    data = samples(['001', '002', '003'], CASIA, ['000', '018', '090'])[:-1]  # an odd number
    _, alone = run({'type': 'CASIABMetric'}, data)
    context = mp.get_context('spawn')
    queue = context.Queue()
    workers = [context.Process(target=_rank, args=(r, tmp_path / 'store', data, queue))
               for r in range(2)]
    for w in workers:
        w.start()
    results = dict(queue.get(timeout=120) for _ in workers)
    for w in workers:
        w.join()
    assert results == {0: alone, 1: alone}


def test_table_in_the_log(caplog):
    data = samples(['001', '002', '003'], CASIA, ['000', '018'])
    with caplog.at_level(logging.INFO):
        current = MMLogger.get_current_instance()
        current.addHandler(caplog.handler)
        run({'type': 'CASIABMetric', 'protocols': ('single_view', 'cross_view')}, data)
        current.removeHandler(caplog.handler)
    assert '===Rank-1 (Include identical-view cases)===' in caplog.text
    assert '===Rank-1 of each angle (Exclude identical-view cases)===' in caplog.text
    assert 'views: [  000   018]' in caplog.text and 'NM mAP: [' in caplog.text


def test_missing_views_and_conditions():
    views = ['000', '018', '036']
    data = samples(['001', '002', '003'], CASIA, views)
    lacking = [d for d in data if not (d['condition'].startswith('cl') and d['view'] == '018')]
    _, result = run({'type': 'CASIABMetric'}, lacking)
    _, whole = run({'type': 'CASIABMetric'}, data)
    assert result['gait/NM'] == whole['gait/NM'] and np.isfinite(result['gait/CL'])
    with pytest.raises(ValueError, match=r"no probe sequence of conditions \['cl-01', 'cl-02'\]"):
        run({'type': 'CASIABMetric'}, [d for d in data if not d['condition'].startswith('cl')])
    with pytest.raises(ValueError, match='no embeddings'):
        METRICS.build({'type': 'CASIABMetric'}).evaluate(0)
    with pytest.raises(ValueError, match="not \\('two_view',\\)"):
        METRICS.build({'type': 'CASIABMetric', 'protocols': ('two_view',)})


def test_non_finite_embeddings_are_named():
    data = samples(['001', '002'], CASIA, ['000'])
    data[3]['embedding'][1, 2] = torch.nan
    metric = METRICS.build({'type': 'CASIABMetric'})
    with pytest.raises(ValueError, match=r'001/nm-04/000: its embedding is not finite'):
        metric.process({}, data)


def test_results_are_consumed():
    data = samples(['001'], CASIA, ['000', '018'])
    results = [dict(d) for d in data]
    kept = EmbeddingSet.from_results(results)
    assert results == [] and len(kept) == len(data)
    for i, d in enumerate(data):
        assert torch.equal(kept.embeddings[:, i], d['embedding'].T)
