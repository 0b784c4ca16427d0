"""Nothing here is collected where mmpretrain is not installed."""
from __future__ import annotations

from razor_ext.compat import is_usable

collect_ignore_glob = [] if is_usable('mmpretrain') else ['test_*.py']
