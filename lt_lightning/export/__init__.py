"""The command ``export``: one of our checkpoints as an ONNX file or a ``torch.export`` program that needs no Lightning.

The program takes images ``(N, C, H, W)``, fp32 in [0, 1], any N, cut to the size that its description names, and
gives probabilities ``(N, K)``. Normalisation is inside, so whoever calls it only divides pixels by 255. Class names,
pre-processing, version and the checkpoint's SHA-256 are in the file, and in a JSON file beside it. Before a file gets
its name, its outputs and the logits inside are held against those of the module.
"""

from lt_lightning.export.command import export, main
from lt_lightning.export.description import describe
from lt_lightning.export.program import Program
from lt_lightning.export.rebuilding import rebuild
from lt_lightning.export.writing import TOLERANCE, write

__all__ = ["TOLERANCE", "Program", "describe", "export", "main", "rebuild", "write"]
