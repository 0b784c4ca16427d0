"""Slow float64 references, one sequence, frame, strip and part at a time, from the definitions."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def _bn(x, state, prefix, eps=1e-5):
    shape = (1, -1) + (1,) * (x.dim() - 2)
    mean, var = state[f'{prefix}.running_mean'], state[f'{prefix}.running_var']
    x = (x - mean.view(shape)) / (var.view(shape) + eps).sqrt()
    return x * state[f'{prefix}.weight'].view(shape) + state[f'{prefix}.bias'].view(shape)


def _pyramid(feature, bins):
    """[c, h, w] -> [c, p]: mean plus max of every bin."""
    parts = []
    for b in bins:
        rows = feature.shape[1] // b
        for i in range(b):
            strip = feature[:, i * rows:(i + 1) * rows].flatten(1)
            parts.append(strip.mean(1) + strip.max(1).values)
    return torch.stack(parts, 1)


def _per_part(x, weight):
    return torch.stack([x[:, p] @ weight[p] for p in range(weight.shape[0])], 1)


def gaitbase_frame(frame, s):
    x = F.relu(_bn(F.conv2d(frame[None, None], s['backbone.conv1.weight'], padding=1), s,
                   'backbone.bn1'))
    for k, stride in ((1, 1), (2, 2), (3, 2), (4, 1)):
        b = f'backbone.layer{k}.0'
        y = F.relu(_bn(F.conv2d(x, s[f'{b}.conv1.weight'], stride=stride, padding=1), s,
                       f'{b}.bn1'))
        y = _bn(F.conv2d(y, s[f'{b}.conv2.weight'], padding=1), s, f'{b}.bn2')
        if f'{b}.downsample.0.weight' in s:
            x = _bn(F.conv2d(x, s[f'{b}.downsample.0.weight'], stride=stride), s,
                    f'{b}.downsample.1')
        x = F.relu(x + y)
    return x[0]


def plain_frame(frame, s):
    x = frame[None, None]
    keys = sorted((k for k in s if k.startswith('backbone.feature')),
                  key=lambda k: int(k.split('.')[2]))
    for i, key in enumerate(keys):
        if i in (2, 4):
            x = F.max_pool2d(x, 2)
        w = s[key]
        x = F.conv2d(x, w, padding=w.shape[-1] // 2)
        x = torch.where(x > 0, x, 0.01 * x)
    return x[0]


def set_embedding(sequence, s, frame_fn, bins):
    """[s, h, w] -> [c, p]."""
    features = torch.stack([frame_fn(f, s) for f in sequence])
    return _per_part(_pyramid(features.max(0).values, bins), s['head.fc.weight'])


def neck_logits(embedding, s):
    """BNNeck in evaluation mode and cosine classifier: [c, p] -> [classes, p]."""
    c, p = embedding.shape
    flat = torch.stack([embedding[i // p, i % p] for i in range(c * p)])
    y = _bn(flat[None], s, 'head.bn')[0].view(c, p)
    w = s['head.classifier.weight']
    return torch.stack([(y[:, k] / y[:, k].norm()) @ (w[k] / w[k].norm(dim=0, keepdim=True))
                        for k in range(p)], 1)


def gaitgl_embedding(sequence, s, stem, stages, strips, neck):
    """[s, h, w] -> [c, p]; `stages` lists the convolutions of each stage."""
    def act(x):
        return torch.where(x > 0, x, 0.01 * x)

    x = sequence[None, None]
    for i in range(stem):
        x = act(F.conv3d(x, s[f'backbone.stem.{2 * i}.weight'], padding=1))
    frames = x.shape[2] // 3
    x = torch.cat([act(F.conv3d(x[:, :, 3 * t:3 * t + 3], s['backbone.lta.0.weight']))
                   for t in range(frames)], 2)
    for i, depth in enumerate(stages):
        for j in range(depth):
            name = f'backbone.stage{i}.{j}'
            a = act(F.conv3d(x, s[f'{name}.global_conv.weight'], padding=1))
            rows = x.shape[3] // strips
            cuts = [F.conv3d(x[:, :, :, r * rows:(r + 1) * rows],
                             s[f'{name}.local_conv.weight'], padding=1) for r in range(strips)]
            b = act(torch.cat(cuts, 3))
            last = i == len(stages) - 1 and j == depth - 1
            x = torch.cat([a, b], 3) if last else a + b
        if i == 0:
            x = F.max_pool3d(x, (1, 2, 2))
    x = x[0].max(1).values
    p = float(s['pooling.p'])
    parts = [(x[:, r].clamp(min=1e-6) ** p).mean(1) ** (1 / p) for r in range(x.shape[1])]
    e = _per_part(torch.stack(parts, 1), s['head.fc.weight'])
    if neck:
        return e
    return torch.stack([_bn(e[:, k][None], s, 'head.bn')[0] for k in range(e.shape[1])], 1)


def triplet_loss(embeddings, labels, margin):
    """[n, c, p], every (anchor, positive, negative), self-pairs included."""
    n, _, parts = embeddings.shape
    per_part, counts = [], []
    for p in range(parts):
        total, nonzero = 0.0, 0
        for a in range(n):
            for b in range(n):
                for c in range(n):
                    if labels[a] == labels[b] and labels[a] != labels[c]:
                        ap = math.dist(embeddings[a, :, p].tolist(), embeddings[b, :, p].tolist())
                        an = math.dist(embeddings[a, :, p].tolist(), embeddings[c, :, p].tolist())
                        term = max(0.0, ap - an + margin)
                        total += term
                        nonzero += term > 0
        per_part.append(total / nonzero if nonzero else 0.0)
        counts.append(nonzero)
    return sum(per_part) / parts, sum(counts) / parts


def cross_entropy(logits, labels, scale, smoothing):
    """[n, classes, p]."""
    n, classes, parts = logits.shape
    total = 0.0
    for i in range(n):
        for p in range(parts):
            z = [scale * float(v) for v in logits[i, :, p]]
            top = max(z)
            log_sum = top + math.log(sum(math.exp(v - top) for v in z))
            for k in range(classes):
                target = smoothing / classes + (1 - smoothing) * (k == int(labels[i]))
                total -= target * (z[k] - log_sum)
    return total / (n * parts)
