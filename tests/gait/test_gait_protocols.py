"""The protocols beyond CASIA-B's, each against a slow reference written from its definition."""
from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import METRICS

import razor_ext  # noqa: F401
from razor_ext.gait.evaluation import k_reciprocal_distance

from .test_gait_metrics import CASIA, distance, run, samples, slow_retrieval, slow_single_view


def numbered(*groups):
    """Samples of several kinds in one set."""
    data = [dict(d) for group in groups for d in group]
    for i, d in enumerate(data):
        d['sample_idx'] = i
    return data


def test_cross_view_counts_a_probe_without_a_match_as_a_miss():
    views = ['000', '018', '036']
    data = samples(['001', '002', '003', '004'], CASIA, views, noise=0.01)
    alone = [d for d in data if not (d['subject'] == '001' and d['condition'].endswith('02'))]
    _, result = run({'type': 'CASIABMetric', 'protocols': ('cross_view',)}, numbered(alone))
    # of four probes of each view, the one of subject 001 has nobody to be found in the gallery
    assert result['gait/NM_cross_R1'] == pytest.approx(75)
    assert result['gait/NM_cross_mAP'] == pytest.approx(100)


def test_casia_e():
    conditions = [f'{h}-scene{s}-{c}-{i}' for h in 'HL' for s in ('1', '2', '3_s')
                  for c in ('nm', 'bg', 'cl') for i in (1, 2)]
    views = ['000', '090', '270']
    data = samples(['0201', '0202', '0203'], conditions, views, noise=1.)
    metric, result = run({'type': 'CASIAEMetric'}, data)
    gallery = [f'{h}-scene1-nm-{i}' for h in 'HL' for i in (1, 2)]
    probes = {name: [c for c in conditions if f'-{name.lower()}-' in c and 'scene1' not in c]
              for name in ('NM', 'BG', 'CL')}
    expected = slow_single_view(data, probes, gallery, views[:2], 'euclidean')
    for name, rows in expected.items():
        assert result[f'gait/{name}'] == pytest.approx(np.mean(rows), abs=1e-5)
    assert list(metric.view_figures['NM']) == views[:2]  # 270 is left out
    with pytest.raises(ValueError, match='no cross-view protocol'):
        METRICS.build({'type': 'CASIAEMetric', 'protocols': ('cross_view',)})


def test_sustech1k():
    conditions = ['00-nm', '01-nm', '01-cl', '02-bg', '03-cr', '04-nt', '02-ub-oc']
    views = ['000', '090', '180-far']
    data = samples([f'{i:04d}' for i in range(8)], conditions, views, noise=1.3)
    _, result = run({'type': 'SUSTech1KMetric', 'block': 5}, data)
    kinds = {'Normal': ('01-nm',), 'Bag': ('bg',), 'Clothing': ('cl',), 'Carrying': ('cr',),
             'Umbrella': ('ub',), 'Occlusion': ('oc',), 'Night': ('nt',),
             'Overall': ('01', '02', '03', '04')}
    assert set(result) == {f'gait/{k}_R{r}' for k in kinds for r in (1, 5)}  # no uniforms here
    for name, parts in kinds.items():
        for rank in (1, 5):
            rows = []
            for pv in views:
                cells = []
                for gv in views:
                    if gv == pv:
                        continue
                    hits = [any(g['subject'] == q['subject'] for g in sorted(
                        (g for g in data if g['condition'] == '00-nm' and g['view'] == gv),
                        key=lambda g: distance(q['embedding'], g['embedding'], 'euclidean')
                    )[:rank]) for q in data if q['view'] == pv
                        and any(part in q['condition'] for part in parts)]
                    cells.append(round(100 * sum(hits) / len(hits), 2))
                rows.append(sum(cells) / len(cells))
            assert result[f'gait/{name}_R{rank}'] == pytest.approx(np.mean(rows), abs=1e-5)
    assert result['gait/Overall_R1'] < result['gait/Overall_R5'] < 100


def test_ccpg():
    conditions = ['U0_D0', 'U0_D0_BG', 'U0_D3', 'U1_D0', 'U1_D1', 'U2_D2', 'U3_D3']
    data = samples([str(i) for i in range(100, 106)], conditions, ['1_0', '1_1', '2_0', '3_0'],
                   noise=1.4)
    _, result = run({'type': 'CCPGMetric'}, data)
    merged = [{**d, 'view': d['view'][0]} for d in data]
    pairs = {'CL': (['U0_D0_BG', 'U0_D0'], ['U1_D1', 'U2_D2', 'U3_D3']),
             'UP': (['U3_D3'], ['U0_D3']), 'DN': (['U1_D0'], ['U1_D1']),
             'BG': (['U0_D0_BG'], ['U0_D0'])}
    for name, (probes, gallery) in pairs.items():
        rows = slow_retrieval([d for d in merged if d['condition'] in probes],
                              [d for d in merged if d['condition'] in gallery], True)
        figures = {'R1': (rows[:, 0] == 1).mean(), 'mAP': rows[:, 1].mean(),
                   'mINP': rows[:, 2].mean()}
        for key, value in figures.items():
            assert result[f'gait/{name}_{key}'] == pytest.approx(value * 100, abs=1e-5)
        by_view = slow_single_view(merged, {name: probes}, gallery, ['1', '2', '3'], 'euclidean')
        assert result[f'gait/{name}'] == pytest.approx(np.mean(by_view[name]), abs=1e-5)


def test_ccgr_mini():
    data = samples([str(i) for i in range(601, 607)], ['CL1', 'BG1'], ['over', '45_1'], noise=1.5)
    names = {'-'.join((d['subject'], d['condition'], d['view'])): d for d in data}
    gallery = [n for n in names if n.endswith('CL1-over')]
    _, result = run({'type': 'CCGRMiniMetric'}, data, gallery_set=gallery)
    rows = slow_retrieval([d for n, d in names.items() if n not in gallery],
                          [names[n] for n in gallery], False)
    assert result['gait/R1'] == pytest.approx((rows[:, 0] == 1).mean() * 100)
    assert result['gait/mAP'] == pytest.approx(rows[:, 1].mean() * 100, abs=1e-5)
    with pytest.raises(ValueError, match=r'0 of 24 test sequences are in the .* GALLERY_SET'):
        run({'type': 'CCGRMiniMetric'}, data)


def test_grews_file_byte_for_byte(tmp_path):
    """Subjects as numbers, one newline a line, no spaces: what its server reads."""
    data = samples([f'{i:05d}' for i in range(1, 12)], ['01', '02'], ['v'])
    probes = samples(['probe'], ['03'], ['0a7', '12'], seed=1)
    _, _ = run({'type': 'GREWSubmission', 'path': str(tmp_path / 's.csv')},
               numbered(data, probes))
    lines = [b'videoId,' + b','.join(b'rank%d' % i for i in range(1, 21))]
    for q in probes:
        ranked = sorted(data, key=lambda g: distance(q['embedding'], g['embedding'], 'euclidean'))
        lines.append(q['view'].encode() + b''.join(
            b',%d' % int(g['subject']) for g in ranked[:20]))
    assert (tmp_path / 's.csv').read_bytes() == b'\n'.join(lines) + b'\n'
    named = [{**d, 'subject': 'anna'} for d in data]
    with pytest.raises(ValueError, match="has a subject 'anna'"):
        run({'type': 'GREWSubmission', 'path': str(tmp_path / 's.csv')}, numbered(named, probes))


def slow_rerank(dist, probes, k1=6, k2=6, weight=0.3):
    """Zhong et al. (CVPR 2017), sets of sequences one at a time."""
    n = len(dist)
    d = [[dist[j][i] / max(row[i] for row in dist) for j in range(n)] for i in range(n)]
    order = [sorted(range(n), key=lambda j: d[i][j]) for i in range(n)]

    def mutual(i, k):
        return {j for j in order[i][:k + 1] if i in order[j][:k + 1]}

    vectors = []
    for i in range(n):
        first = mutual(i, k1)
        grown = set(first)
        for j in first:
            other = mutual(j, round(k1 / 2))
            if len(other & first) > 2 / 3 * len(other):
                grown |= other
        total = sum(np.exp(-d[i][j]) for j in grown)
        vectors.append([np.exp(-d[i][j]) / total if j in grown else 0. for j in range(n)])
    mean = [[sum(vectors[j][c] for j in order[i][:k2]) / k2 for c in range(n)] for i in range(n)]
    result = []
    for i in range(probes):
        result.append([])
        for j in range(probes, n):
            low = sum(min(a, b) for a, b in zip(mean[i], mean[j]))
            high = sum(max(a, b) for a, b in zip(mean[i], mean[j]))
            result[-1].append((1 - low / high) * (1 - weight) + d[i][j] * weight)
    return np.array(result)


def hid_samples():
    gallery = samples([f'{i:04d}' for i in range(8)], ['a'], ['g0', 'g1', 'g2'], noise=1.3)
    probes = samples([f'{i:04d}' for i in range(8)], ['b'], ['p0', 'p1'], noise=1.3)
    for d in probes:
        d['view'] = f'{d["subject"]}{d["view"]}'
    return gallery, [{**d, 'subject': 'probe'} for d in probes]


def test_reranking_is_as_defined():
    gallery, probes = hid_samples()
    x = [d['embedding'] for d in probes + gallery]
    dist = np.array([[distance(a, b, 'euclidean') for b in x] for a in x])
    expected = slow_rerank(dist, len(probes))
    found = k_reciprocal_distance(dist, len(probes))
    assert found.shape == (len(probes), len(gallery))
    assert np.allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize('rerank', [False, True])
def test_hids_file(tmp_path, rerank):
    gallery, probes = hid_samples()
    path = tmp_path / 'hid.csv'
    _, result = run({'type': 'HIDSubmission', 'path': str(path), 'rerank': rerank},
                    numbered(gallery, probes))
    x = [d['embedding'] for d in probes + gallery]
    dist = np.array([[distance(a, b, 'euclidean') for b in x] for a in x])
    ranked = slow_rerank(dist, len(probes)) if rerank else dist[:len(probes), len(probes):]
    lines = ['videoID,label', *(f'{q["view"]},{gallery[row.argmin()]["subject"]}'
                                for q, row in zip(probes, ranked))]
    assert path.read_bytes() == ''.join(f'{line}\n' for line in lines).encode()
    assert result == {'gait/probes': 16}


def test_hid_errors(tmp_path):
    gallery, probes = hid_samples()
    cfg = {'type': 'HIDSubmission', 'path': str(tmp_path / 'hid.csv')}
    with pytest.raises(ValueError, match="0 of 24 test sequences belong to the subject 'probe'"):
        run(cfg, numbered(gallery))
    same = [{**d, 'condition': d['view'], 'view': 'default'} for d in probes]
    with pytest.raises(ValueError, match='16 probes have 1 names of videos'):
        run(cfg, numbered(gallery, same))
    run({**cfg, 'video': 'condition'}, numbered(gallery, same))
    assert (tmp_path / 'hid.csv').read_text().split('\n')[1].startswith('0000p0,')
    with pytest.raises(ValueError, match="not 'name'"):
        METRICS.build({**cfg, 'video': 'name'})
    assert torch.is_tensor(gallery[0]['embedding'])
