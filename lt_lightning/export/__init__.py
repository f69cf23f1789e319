"""The command ``export``: one of our checkpoints as an ONNX file or a ``torch.export`` program that needs no Lightning.

The program takes images ``(N, C, H, W)``, fp32 in [0, 1], any N, cut to the size that its description names, and
gives probabilities ``(N, K)``. Normalisation is inside, so whoever calls it only divides pixels by 255. Class names,
pre-processing, version and the checkpoint's SHA-256 are in the file, and in a JSON file beside it.

A file gets its name if, on ten random images, it agrees with the module in all of this:

* Its probabilities are within 1e-4 of the module's or, with logits above 100, within 1e-6 of the largest.
* They are within 1e-4 of those that the loss makes of the logits of a second file, made alike and thrown away.
* Those logits differ from the module's by at most 1e-4 of its largest. Before a softmax each image's mean is taken off
  first, and the largest is taken for no less than 1 % of what it was with the mean.

Of a file that gives logits, these are compared in the last way, and also as they are.
"""

from lt_lightning.export.agreement import TOLERANCE, Differences
from lt_lightning.export.command import export, main
from lt_lightning.export.description import describe
from lt_lightning.export.program import Program
from lt_lightning.export.rebuilding import rebuild
from lt_lightning.export.writing import write

__all__ = ["TOLERANCE", "Differences", "Program", "describe", "export", "main", "rebuild", "write"]
