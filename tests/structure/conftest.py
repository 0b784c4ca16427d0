"""One thread, one analysis of each structure, one dense checkpoint, one finished joint run."""
from geta_fixtures import analysed_once, dense, joint, seeded

__all__ = ['analysed_once', 'dense', 'joint', 'seeded']
