"""Deployment: MMDeploy conversion, parity with torch, latency.

Importing this package is light; MMDeploy and ONNX Runtime are imported by the modules that
use them.
"""
