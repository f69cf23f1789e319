"""``predict``: LightningCLI's, with the model taken from the checkpoint, and options of the file that is written.

The model need not be typed: ``--ckpt_path last.ckpt`` alone brings the one that the command line trained.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback
from lightning.pytorch.cli import LightningArgumentParser

from lt_lightning.callbacks import PredictionsWriter, TemperatureScaling
from lt_lightning.callbacks.predictions import check_output
from lt_lightning.drafts import require_free
from lt_lightning.interruption import interruptible
from lt_lightning.main import LTCLI
from lt_lightning.resuming import CONFIGURED, is_given, value_of, with_model
from lt_lightning.signals import jobs_put_back
from lt_lightning.trainer_errors import trainer_sentences

_NOTHING_REMAINS = "no predictions are written; run the same command again."


@jobs_put_back()
def main(argv: Sequence[str]) -> None:
    """Run ``predict``.

    Args:
        argv: Command and options, as on the command line.
    """
    with interruptible(_NOTHING_REMAINS), trainer_sentences():
        PredictCLI(args=complete(list(argv)))


def complete(arguments: list[str]) -> list[str]:
    """Add what was not typed: a ``PredictFolder``, where it gets its classes from, and the checkpoint's model.

    Args:
        arguments: Command and options; not changed, since every process of a run completes them for itself.

    Raises:
        UsageError: If a model is needed, and the checkpoint is none of ours or was made in Python.
    """
    arguments = [_renamed(word) for word in arguments]
    if _of_data(arguments) and not any(is_given(arguments, option) for option in ("--data", *CONFIGURED)):
        arguments.insert(1, "--data=PredictFolder")
    arguments = with_model(arguments)
    checkpoint = value_of(arguments, "--ckpt_path")
    data = (value_of(arguments, "--data") or "").rpartition(".")[2]
    if checkpoint is not None and data == "PredictFolder" and not is_given(arguments, "--data.checkpoint"):
        arguments.append(f"--data.checkpoint={checkpoint}")
    return arguments


def _renamed(word: str) -> str:
    """``--checkpoint``, as other commands call it, is ``--ckpt_path`` here, as Lightning calls it."""
    name, equals, value = word.partition("=")
    return f"--ckpt_path{equals}{value}" if name == "--checkpoint" else word


def _of_data(arguments: Sequence[str]) -> bool:
    return any(word.startswith("--data.") for word in arguments)


class PredictCLI(LTCLI):
    """The one command ``predict``, with options of its own beside LightningCLI's."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """``predict`` alone; what it returns is written, not kept."""
        return {"predict": LTCLI.subcommands()["predict"] | {"return_predictions"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what is written, and where."""
        super().add_arguments_to_parser(parser)
        parser.add_argument("--top_k", type=int, default=5, help="Classes per image, the likeliest first.")
        parser.add_argument(
            "--format", type=Literal["csv", "parquet"], default="csv", help="Of the file; Parquet needs pyarrow."
        )
        parser.add_argument(
            "--output", type=str | None, default=None, help="File to write; by default one in the run's folder."
        )
        parser.add_argument(
            "--temperature",
            type=float | Literal["auto"],
            default=1.0,
            help='Divides the logits; "auto" fits it on the validation images of the data.',
        )

    def before_instantiate_classes(self) -> None:
        """Refuse an output of no use, or that exists, before any image is listed."""
        super().before_instantiate_classes()
        kind, output = (self._get(self.config, key) for key in ("format", "output"))
        if output is not None:
            check_output(output, kind)
            require_free(Path(output), "output")

    def writing_callbacks(self) -> list[Callback]:
        """What sets the temperature and writes the file."""
        top_k, kind, output, temperature = (
            self._get(self.config, key) for key in ("top_k", "format", "output", "temperature")
        )
        self._predictions = PredictionsWriter(top_k, kind, output)
        return [TemperatureScaling(temperature), self._predictions]

    def predict(self, **kwargs: Any) -> None:
        """Predict the test images."""
        self.require_weights(kwargs.get("ckpt_path"))
        self.spare_earlier_run(kwargs.get("ckpt_path"))
        with interruptible(self.what_is_written, "data.eval_batch_size"):
            self.trainer.predict(**kwargs, return_predictions=False)

    def what_is_written(self) -> str:
        """What an interruption leaves and what to do, the second half of a sentence."""
        path = self._predictions.written
        return _NOTHING_REMAINS if path is None else f"the predictions are in `{path}`."
