"""What image classification with mmpretrain needs: fixers, quantized layers, inputs, deployment.

Light to import: `family.py` is read before it is known whether the family can be used.
"""
