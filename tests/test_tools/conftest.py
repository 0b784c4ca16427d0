"""Upstream is repaired before a test module imports it."""
import razor_ext  # noqa: F401
