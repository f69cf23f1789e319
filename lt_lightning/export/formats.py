"""The formats of programs: ONNX and ``torch.export``'s own."""

import io
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.export.program import Program
from lt_lightning.wording import one_line

INPUT = "images"
"""Name of a program's input."""

_METADATA = "metadata.json"


@dataclass(frozen=True)
class Format:
    """One of the formats."""

    write: Callable[[torch.export.ExportedProgram, Path, dict[str, Any]], Callable[[Tensor], Tensor]]
    """Writes a program with its description, and gives back what the file computes."""
    packages: tuple[str, ...] = ()
    """That it needs beside torch."""

    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.packages if not _is_installed(name)]


def traced(program: Program, shape: Sequence[int]) -> torch.export.ExportedProgram:
    """Follow a network's forward pass, for batches of any size.

    Args:
        program: In evaluation mode, on the CPU, in fp32.
        shape: Of an image, ``(C, H, W)``.

    Raises:
        UsageError: If it cannot be followed.
    """
    images = torch.rand(2, *shape)  # of one image, tracing would take the batch size for a constant
    try:
        return torch.export.export(
            program, (images,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}}, strict=False
        )
    except Exception as error:  # whatever a backbone of the user's own does that cannot be traced
        parts = f"{type(program.backbone).__name__} and {type(program.head).__name__}"
        raise UsageError(
            f"`checkpoint` has a network of {parts} that torch.export cannot trace with batches of any size "
            f"({one_line(error, 300)}); write its forward pass in plain tensor operations."
        ) from error


def _write_program(program: torch.export.ExportedProgram, path: Path, description: dict[str, Any]) -> Any:
    contents = io.BytesIO()  # torch, writing to a full disk, ends the process
    torch.export.save(program, contents, extra_files={_METADATA: json.dumps(description)})
    path.write_bytes(contents.getbuffer())
    return torch.export.load(path).module()


def _write_onnx(program: torch.export.ExportedProgram, path: Path, description: dict[str, Any]) -> Any:
    output = description["output"]["name"]
    with _silent_exporter():
        made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=[INPUT], output_names=[output])
    assert made is not None
    for key, value in description.items():
        made.model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value)
    made.save(str(path))
    return _session(str(path), output)


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Keep back what torch 2.9 logs of torchvision's operators, and onnxscript 0.6 prints of its rules."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _session(model: str, output: str) -> Callable[[Tensor], Tensor]:
    onnxruntime = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([output], {INPUT: images.numpy()})[0])


FORMATS = {
    ".onnx": Format(_write_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": Format(_write_program),
}
"""By the end of a file's name."""


def _is_installed(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True
