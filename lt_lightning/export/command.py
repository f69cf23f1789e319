"""``export`` as a command, and as the function behind it."""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning import home
from lt_lightning.config_files import command_parser
from lt_lightning.errors import UsageError
from lt_lightning.export.description import describe
from lt_lightning.export.program import Program
from lt_lightning.export.rebuilding import rebuild
from lt_lightning.export.writing import check_paths, write
from lt_lightning.interruption import interruptible
from lt_lightning.parser_errors import sentences
from lt_lightning.quiet import quiet
from lt_lightning.records import read_record


def main(argv: Sequence[str]) -> None:
    """Run ``export``.

    Args:
        argv: ``export`` and its options, as on the command line.
    """
    parser = command_parser(
        "export",
        description="Turn a checkpoint into ONNX or a torch.export program.",
        config_help="A YAML file of these options.",
    )
    parser.add_function_arguments(export)
    # Lightning's commands, `predict` among them, call the checkpoint --ckpt_path.
    words = [re.sub("^--ckpt_path(?==|$)", "--checkpoint", word) for word in argv[1:]]
    with sentences("export", parser=parser):
        options = parser.parse_args(words)
    options.pop("config")
    quiet()
    written: list[Path] = []
    wanted = 1 if isinstance(options.output, str) else len(options.output)
    with interruptible(partial(_what_remains, written, wanted)):
        _export(written, **options.as_dict())


def _what_remains(written: Sequence[Path], wanted: int) -> str:
    """What an interruption leaves and what to do, the second half of a sentence."""
    if not written:
        return "nothing has been written; run the same command again."
    named = ", ".join(f"`{path}`" for path in written)
    rest = "" if len(written) == wanted else "; run the command again with the others alone as `output`"
    return f"{named} had been written{rest}."


def export(
    checkpoint: str,
    output: str | list[str],
    include_normalization: bool = True,
    logits: bool = False,
    temperature: float = 1.0,
    image_size: int | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a checkpoint as a program, or as several.

    Args:
        checkpoint: Of this package, such as ``last.ckpt`` or ``better.ckpt``, made by the command line.
        output: File, or list of files, that end in ``.onnx`` (needs onnx, onnxscript and onnxruntime) or ``.pt2``. A
            JSON file of the same name is put beside each.
        include_normalization: Whether images are taken in [0, 1] and normalised inside; otherwise they come normalised.
        logits: Whether logits are given instead of probabilities.
        temperature: Divides the logits, for honest confidences; ``lt-lightning predict --temperature auto`` finds it.
        image_size: Side of the images, in pixels; the checkpoint's by default.
        mean: Mean of each channel on the scale of [0, 1]; the checkpoint's by default.
        std: Standard deviation of each channel; the checkpoint's by default.
        overwrite: Whether files that exist are replaced.

    Returns:
        The programs.

    Raises:
        UsageError: If an option or the checkpoint does not serve, a file exists, a package is missing, or a program's
            outputs are not the module's. Nothing half-written is left.
    """
    written: list[Path] = []
    _export(written, checkpoint, output, include_normalization, logits, temperature, image_size, mean, std, overwrite)
    return written


def _export(
    written: list[Path],
    checkpoint: str,
    output: str | list[str],
    include_normalization: bool,
    logits: bool,
    temperature: float,
    image_size: int | None,
    mean: list[float] | None,
    std: list[float] | None,
    overwrite: bool,
) -> None:
    """Do it; each program is added to ``written`` when it is there, before it is told of."""
    paths = [Path(home.expanded(path)) for path in ([output] if isinstance(output, str) else output)]
    check_paths(paths, overwrite)
    if not 0 < temperature < float("inf"):
        raise UsageError(f"`temperature` must be above 0 and finite, but got {temperature}.")
    record = read_record(home.expanded(checkpoint))
    image = record.pre_processing(image_size, mean, std)
    module = rebuild(record)
    if module.flip_average:
        rank_zero_warn("`flip_average` of the checkpoint is left aside: the program looks at images as they are.")
    program = Program(module, image if include_normalization else None, temperature, logits).eval()
    description = describe(record, image, program)
    for path in paths:
        found = write(program, path, description, overwrite)
        written.append(path)
        print(f"{path} written: its outputs differ from the checkpoint's by {found} at most")
