"""Object detection with MMDetection: the input of a detector, and how it is deployed.

Light to import: `family.py` is read before it is known whether the family can be used.
"""
