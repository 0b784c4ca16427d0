"""Upstream is repaired before any test module imports it."""
import razor_ext  # noqa: F401
