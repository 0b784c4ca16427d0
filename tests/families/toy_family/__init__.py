"""A model family outside razor_ext: regression of the frequency of a signal.

What it takes, one module each:

- `family.py`: the `Family`, which the entry point `toy = toy_family.family:FAMILY` of the group
  `razor_ext.families` names;
- `models.py`: the model, with a layer of its own;
- `datasets.py`: its data;
- `compression.py`: how that layer is sliced and quantized;
- `deployment.py`: its task for MMDeploy, imported before a deployment.
"""
import razor_ext  # noqa: F401  (which imports the family, whatever is imported first)
