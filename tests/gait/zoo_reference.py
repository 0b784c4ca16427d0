"""Slow float64 references of the zoo, one sequence, frame, strip, part and pair at a time.

Maps are [frames, channels, height, width]; everything differentiates.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F

from .gait_reference import _bn, _per_part, _pyramid

BINS = (16, 8, 4, 2, 1)


def _leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


def _over_time(x, weight, stride):
    """3-D convolution as a sum over the frame itself and its two neighbours."""
    pad = weight.shape[-1] // 2
    frames = []
    for t in range(len(x)):
        terms = [F.conv2d(x[t + d][None], weight[:, :, d + 1], stride=stride, padding=pad)
                 for d in (-1, 0, 1) if 0 <= t + d < len(x)]
        frames.append(sum(terms))
    return torch.cat(frames)


def _shortcut(x, s, name, stride):
    if f'{name}.0.weight' not in s:
        return x
    weight = s[f'{name}.0.weight'].flatten(1)
    x = torch.einsum('schw,oc->sohw', x[:, :, ::stride, ::stride], weight)
    return _bn(x, s, f'{name}.1')


def _stem(x, s, name):
    return F.relu(_bn(F.conv2d(x, s[f'{name}.0.weight'], padding=1), s, f'{name}.1'))


def _residual(x, s, name, stage, mode):
    """The blocks of a stage, whose number says which convolutions they have."""
    block = 0
    while f'{name}.{block}.conv1.weight' in s:
        b = f'{name}.{block}'
        stride = 2 if stage in (2, 3) and block == 0 else 1
        first, second = s[f'{b}.conv1.weight'], s[f'{b}.conv2.weight']
        if mode == '3d' and stage > 1:
            y = F.relu(_bn(_over_time(x, first, stride), s, f'{b}.bn1'))
            y = _bn(_over_time(y, second, 1), s, f'{b}.bn2')
        else:
            y = F.relu(_bn(F.conv2d(x, first, stride=stride, padding=1), s, f'{b}.bn1'))
            if mode == 'p3d' and stage > 1:
                motion = _over_time(y, s[f'{b}.temporal_conv.weight'], 1)
                y = F.relu(y + _bn(motion, s, f'{b}.temporal_bn'))
            y = _bn(F.conv2d(y, second, padding=1), s, f'{b}.bn2')
        x = F.relu(y + _shortcut(x, s, f'{b}.downsample', stride))
        block += 1
    return x


def _strips(x, s):
    return _per_part(_pyramid(x.max(0).values, (16,)), s['head.fc.weight'])


def deepgaitv2(sequence, s, mode):
    """[s, h, w] or [s, channels, h, w] -> [c, p], before the neck."""
    x = _stem(sequence if sequence.dim() == 4 else sequence[:, None], s, 'backbone.stem')
    for stage in (1, 2, 3, 4):
        x = _residual(x, s, f'backbone.layer{stage}', stage, mode)
    return _strips(x, s)


def unit_vectors(embedding, s):
    """[c, p] -> [c, p], after the neck."""
    c, p = embedding.shape
    flat = torch.stack([embedding[i // p, i % p] for i in range(c * p)])
    x = _bn(flat[None], s, 'head.bn')[0].view(c, p)
    return torch.stack([x[:, k] / x[:, k].square().sum().sqrt() for k in range(p)], 1)


def _branch(sequence, s, which):
    return _residual(_stem(sequence, s, f'backbone.{which}_stem'), s,
                     f'backbone.{which}_layer1', 1, 'p3d')


def _scores(frame, s, name):
    """Three convolutions of a frame [c, h, w]."""
    x = frame[None]
    for i in (0, 3):
        weight = s[f'{name}.{i}.weight']
        x = F.relu(_bn(F.conv2d(x, weight, padding=weight.shape[-1] // 2), s, f'{name}.{i + 1}'))
    return F.conv2d(x, s[f'{name}.6.weight'])[0]


def skeletongaitpp(sequence, s):
    """[s, 3, h, w], maps of joints first -> [c, p]."""
    maps, shapes = _branch(sequence[:, :2], s, 'first'), _branch(sequence[:, 2:], s, 'second')
    frames = []
    for shape, joints in zip(shapes, maps):
        scores = _scores(torch.cat([shape, joints]), s, 'backbone.fusion.scores')
        share = torch.stack([scores[:len(shape)], scores[len(shape):]]).softmax(0)
        frames.append(shape * share[0] + joints * share[1])
    x = torch.stack(frames)
    for stage in (2, 3, 4):
        x = _residual(x, s, f'backbone.layer{stage}', stage, 'p3d')
    return _strips(x, s)


def multigaitpp(sequence, s, size=1):
    """[s, channels, h, w], the first `size` of them the first part -> [c, p]."""
    parts = _branch(sequence[:, :size], s, 'first'), _branch(sequence[:, size:], s, 'second')
    streams = [[], [], []]
    for first, second in zip(*parts):
        shares = torch.stack([_scores(first, s, 'backbone.common.first_scores'),
                              _scores(second, s, 'backbone.common.second_scores')]).softmax(0)
        common = torch.where(shares[0] < shares[1], shares[0], shares[1])
        low, high = common.min(0).values, common.max(0).values
        common = ((common - low) / (high - low + 1e-6)).clamp(0, 1)
        streams[0].append(first * (1 - common) * shares[0])
        streams[1].append((first + second) / 2 * common)
        streams[2].append(second * (1 - common) * shares[1])
    maps = []
    for stream, prefix in zip(streams, ('first_', '', 'second_')):
        x = torch.stack(stream)
        for stage in (2, 3):
            x = _residual(x, s, f'backbone.{prefix}layer{stage}', stage, 'p3d')
        maps.append(x)
    x = torch.einsum('schw,oc->sohw', torch.cat(maps, 1),
                     s['backbone.fusion.0.weight'].flatten(1))
    return _strips(_residual(x, s, 'backbone.layer4', 4, 'p3d'), s)


def _stage(x, s, keys):
    for key in keys:
        weight = s[key]
        x = _leaky(F.conv2d(x, weight, padding=weight.shape[-1] // 2))
    return x


def _frame_stages(sequence, s):
    """Maps of the three stages of plain convolutions, each before its pooling."""
    first = _stage(sequence[:, None], s, [f'backbone.feature.{i}.weight' for i in (0, 2)])
    second = _stage(F.max_pool2d(first, 2), s, [f'backbone.feature.{i}.weight' for i in (5, 7)])
    return first, second, _stage(F.max_pool2d(second, 2), s,
                                 [f'backbone.feature.{i}.weight' for i in (10, 12)])


def gaitset(sequence, s):
    """[s, h, w] -> [c, p]; frames are pooled first, then their maximum is taken."""
    first, second, third = _frame_stages(sequence, s)
    x = F.max_pool2d(first, 2).max(0, keepdim=True).values
    x = F.max_pool2d(_stage(x, s, ['neck.stage1.0.weight', 'neck.stage1.2.weight']), 2)
    x = x + F.max_pool2d(second, 2).max(0, keepdim=True).values
    x = _stage(x, s, ['neck.stage2.0.weight', 'neck.stage2.2.weight'])
    last = third.max(0).values
    parts = torch.cat([_pyramid(last, BINS), _pyramid(x[0] + last, BINS)], 1)
    return _per_part(parts, s['head.fc.weight'])


def gln(sequence, s):
    """[s, h, w] -> [c, p]."""
    def set_stage(x, i):
        return _stage(x, s, [f'neck.stage{i}.0.weight', f'neck.stage{i}.2.weight'])

    def twice(x):
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    first, second, third = (m.max(0, keepdim=True).values for m in _frame_stages(sequence, s))
    second_set = set_stage(F.max_pool2d(first, 2), 1) + second
    third_set = set_stage(F.max_pool2d(second_set, 2), 2) + third
    lateral = [F.conv2d(torch.cat(pair, 1), s[f'neck.lateral.{i}.weight']) for i, pair in
               enumerate(((first, first), (second, second_set), (third, third_set)))]
    lateral[1] = lateral[1] + twice(lateral[2])
    lateral[0] = lateral[0] + twice(lateral[1])
    maps = [F.conv2d(x, s[f'neck.smooth.{i}.weight'], padding=1)[0] for i, x in enumerate(lateral)]
    return _per_part(torch.cat([_pyramid(m, BINS) for m in maps], 1), s['head.fc.weight'])


def gln_logits(embedding, s):
    """[c, p] -> [classes, 1], without dropout."""
    x = F.relu(_bn(embedding.reshape(1, -1), s, 'head.compact.0'))
    x = _bn(x @ s['head.compact.3.weight'].T, s, 'head.compact.4')
    return (x @ s['head.classifier.weight'].T).T


def gaitpart(sequence, s, strips, poolings):
    """[s, h, w] -> [c, p]; `poolings` are the indices of the poolings in the backbone."""
    x, stage = sequence[:, None], 0
    last = max(int(key.split('.')[2]) for key in s if key.startswith('backbone'))
    for i in range(last + 1):
        if i in poolings:
            x, stage = F.max_pool2d(x, 2), stage + 1
        elif f'backbone.feature.{i}.weight' in s:
            x = _stage(x, s, [f'backbone.feature.{i}.weight'])
        elif f'backbone.feature.{i}.conv.weight' in s:
            rows = x.shape[2] // strips[stage]
            x = torch.cat([_stage(x[:, :, k * rows:(k + 1) * rows], s,
                                  [f'backbone.feature.{i}.conv.weight'])
                           for k in range(strips[stage])], 2)
    parts = torch.stack([_pyramid(frame, (16,)) for frame in x])  # [s, c, p]
    features = []
    for p in range(parts.shape[2]):
        total = 0.
        for builder, reach in enumerate((1, 2)):
            name = f'pooling.builders.{builder}.{p}'
            first, second = s[f'{name}.0.weight'], s[f'{name}.2.weight']
            hidden = _leaky(F.conv1d(parts[:, :, p].T[None], first, padding=1))
            scores = F.conv1d(hidden, second, padding=second.shape[-1] // 2)[0].T.sigmoid()
            templates = []
            for t in range(len(parts)):
                window = parts[max(0, t - reach):t + reach + 1, :, p]
                templates.append(window.sum(0) / (2 * reach + 1) + window.max(0).values)
            total = total + torch.stack(templates) * scores
        features.append(total.max(0).values)
    return _per_part(torch.stack(features, 1), s['head.fc.weight'])


def triplet(embeddings, labels, margin):
    """[n, c, p] -> the loss, over every (anchor, positive, negative) with self-pairs."""
    n, terms = len(embeddings), []
    for a in range(n):
        for b in range(n):
            for c in range(n):
                if labels[a] == labels[b] and labels[a] != labels[c]:
                    near = (embeddings[a] - embeddings[b]).norm(dim=0) if a != b else 0.
                    terms.append(F.relu(near - (embeddings[a] - embeddings[c]).norm(dim=0)
                                        + margin))
    terms = torch.stack(terms)
    return (terms.sum(0) / (terms > 0).sum(0).clamp(min=1)).mean()


def cross_entropy(logits, labels, scale, smoothing):
    """[n, classes, p] -> the loss."""
    n, _, parts = logits.shape
    total = 0.
    for i in range(n):
        for p in range(parts):
            logs = (scale * logits[i, :, p]).log_softmax(0)
            total = total - (1 - smoothing) * logs[int(labels[i])] - smoothing * logs.mean()
    return total / (n * parts)
