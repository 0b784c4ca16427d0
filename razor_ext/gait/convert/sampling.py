"""`sampler`: which sequences make a batch, and which frames of them are taken."""
from __future__ import annotations

from collections.abc import Callable

from .section import Section


def read_frames(sampler: Section) -> dict:
    """The choice of frames, from `sample_type` and the numbers it needs."""
    sampler.text('sample_type')
    mode, _, order = sampler.get('sample_type').partition('_')
    if mode not in ('fixed', 'unfixed', 'all') or order not in ('ordered', 'unordered'):
        raise sampler.fail('sample_type', 'must be fixed, unfixed or all, then _ordered or '
                                          '_unordered')
    # a file carries the numbers of every mode
    sampler.ignore('frames_num_fixed', 'frames_num_min', 'frames_num_max', 'frames_skip_num')
    frames: dict = {'type': 'SampleFrames', 'mode': mode}
    if mode == 'all':
        limit = sampler.integer('frames_all_limit', -1, least=-1)
        if limit == 0:
            raise sampler.fail('frames_all_limit', 'leaves no frame: -1 is for all')
        return {**frames, 'limit': None if limit < 0 else limit}
    sampler.ignore('frames_all_limit')  # read for whole sequences only
    frames['ordered'] = order == 'ordered'
    if frames['ordered']:
        frames['skip'] = sampler.integer('frames_skip_num', least=0)
    if mode == 'fixed':
        return {**frames, 'num_frames': sampler.integer('frames_num_fixed')}
    least = sampler.integer('frames_num_min')
    return {**frames, 'min_frames': least,
            'max_frames': sampler.integer('frames_num_max', least=least)}


def read_batches(sampler: Section) -> dict:
    """The training loader's batch size and batch sampler."""
    return sampler.choice('type', _SAMPLERS)(sampler)


def _triplet(sampler: Section) -> dict:
    people, sequences = sampler.integers('batch_size', length=2)
    return {'batch_size': people * sequences, 'batch_sampler': {
        'type': 'TripletBatchSampler', 'subjects': people,
        'shuffle': sampler.flag('batch_shuffle', False)}}


def _common(sampler: Section) -> dict:
    sampler.ignore('batch_shuffle')  # asked for and not used
    return {'batch_size': sampler.integer('batch_size'),
            'batch_sampler': {'_delete_': True, 'type': 'RandomBatchSampler'}}


def _refused(reason: str) -> Callable[[Section], dict]:
    def fail(sampler: Section) -> dict:
        raise sampler.fail('type', reason)
    return fail


_SAMPLERS: dict[str, Callable[[Section], dict]] = {
    'TripletSampler': _triplet,
    'CommonSampler': _common,
    'BilateralSampler': _refused('has no counterpart: it gives every sequence twice, which only '
                                 'the contrastive pre-training of GaitSSB uses'),
    'InferenceSampler': _refused('cannot train: it gives every sequence once'),
}
