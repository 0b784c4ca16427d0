"""Trained grids written into an ONNX graph, and the proof that it computes them."""
