# Published training is in half precision, which needs an accelerator.
optim_wrapper = dict(
    type='AmpOptimWrapper' if __import__('torch').cuda.is_available() else 'OptimWrapper')
