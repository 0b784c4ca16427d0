"""Compression without training: a checkpoint and a few hundred images are enough.

    from razor_ext.posttraining.algorithm import PostTraining
    from razor_ext.posttraining.run import compress_without_training
    from razor_ext.posttraining.samples import collect_samples

    algorithm = PostTraining(model, checkpoint='dense.pth', target=dict(kind='macs', ratio=0.8))
    algorithm.init_weights()
    samples = collect_samples(loader, algorithm.architecture, images=512)
    compress_without_training(algorithm, samples).compressed.write('work_dirs/run/compressed')

Families register their own layers in `rows`, which imports nothing of the rest.
"""
