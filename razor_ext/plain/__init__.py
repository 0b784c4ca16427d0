"""Compression of any `nn.Module` in a training loop of one's own."""
from .compression import Compression, compress
from .finished import FinishedModel
from .loading import load_compressed_model

__all__ = ['Compression', 'FinishedModel', 'compress', 'load_compressed_model']
