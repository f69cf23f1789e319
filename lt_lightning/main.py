"""``fit``, ``validate``, ``test`` and ``predict``: LightningCLI with the package's parts in reach by short name."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from lt_lightning import callbacks, presets
from lt_lightning.callbacks.last_checkpoint import LastCheckpoint
from lt_lightning.config_files import STRICT, ConfigFile, SaveConfig
from lt_lightning.data import LTDataModule
from lt_lightning.data.announced import check_announced
from lt_lightning.devices.choice import training_defaults
from lt_lightning.errors import UsageError, check_begun, refusing_abstract_classes, refusing_unbegun_modules
from lt_lightning.interruption import interruptible
from lt_lightning.long_lists import allow_long_lists
from lt_lightning.modules import LTModule, RepresentationModule, RetrainModule
from lt_lightning.nulls import refuse_nulls
from lt_lightning.parser_errors import instantiation_sentences, sentences
from lt_lightning.quiet import quiet
from lt_lightning.results import check_unused, claim_folder, give_back_folder
from lt_lightning.resuming import is_of_run_in, weights_of, with_checkpoint, with_model
from lt_lightning.same_run import PLACES, digest_of, without
from lt_lightning.signals import Signals, jobs_put_back, sigterm_interrupts
from lt_lightning.slurm import folder_of_job, has_begun_before, require_own, saved_by_this_job
from lt_lightning.trainer_errors import trainer_sentences
from lt_lightning.trainer_options import TrainerOptions
from lt_lightning.whole_checkpoints import WholeCheckpoints

NOTHING_REMAINS = "no results are written; run the same command again."
"""Of a command that evaluates, or has not begun to train."""

_DESCRIPTIONS = {  # Lightning's are cut off
    "fit": "Train stage 1, or stage 2 from a checkpoint; by default in bf16-mixed where the hardware computes in it, "
    "else in 32-true.",
    "validate": "Evaluate a checkpoint on the validation images.",
    "test": "Evaluate a checkpoint on the test images.",
    "predict": "Write the likeliest classes of the test images, or of a folder of images, to a file.",
}

TRAINER_DEFAULTS = {
    "use_distributed_sampler": False,  # the data module shards by itself, without repeating images
    "enable_model_summary": False,
}


@jobs_put_back(ends_with_fit=True)
def main(argv: Sequence[str]) -> None:
    """Run one of LightningCLI's commands.

    Args:
        argv: Command and options, as on the command line; what only evaluates may leave the model to the checkpoint.
    """
    words = list(argv)
    with interruptible(NOTHING_REMAINS), sigterm_interrupts(), trainer_sentences():
        LTCLI(args=words if words[:1] == ["fit"] else with_model(words))


class LTCLI(LightningCLI):
    """LightningCLI for :class:`LTModule` and :class:`LTDataModule`.

    Args:
        args: Command line (a list), or a whole configuration (a dictionary; needs ``run=False``).
        run: Whether to run the command; otherwise ``model``, ``datamodule`` and ``trainer`` are only made.
        folder: Where the run's files go; by default a new ``runs/<preset>/version_K``.
    """

    def __init__(self, args: list[str] | dict[str, Any], run: bool = True, folder: Path | None = None) -> None:
        self.folder = folder
        self._claimed: Path | None = None
        self.last_epoch: ModelCheckpoint | None = None
        """What saves the last epoch; there may be others beside it."""
        self._typed = args[0] if isinstance(args, list) and args and args[0] in self.subcommands() else None
        quiet(evaluates=self._typed not in (None, "fit"))
        try:
            super().__init__(
                model_class=LTModule,
                datamodule_class=LTDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                save_config_callback=SaveConfig,
                save_config_kwargs={"overwrite": True},
                parser_kwargs=_of_parsers(self.subcommands()) if run else dict(STRICT),
                auto_configure_optimizers=False,
                args=args,
                run=run,
            )
        except (UsageError, MisconfigurationException, OSError):
            self._leave_no_empty_folder()
            raise

    # -- the parser --------------------------------------------------------------------------------------------------

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """The parser of one command, whose ``-c`` also knows presets."""
        kwargs.pop("default_config_files", None)
        allow_long_lists()
        parser = LightningArgumentParser(**kwargs)
        parser.add_argument("-c", "--config", action=ConfigFile, help="A YAML file or the name of a preset.")
        return parser

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Trainer, model and data; the bases are named so that errors and help stay about them."""
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{key}": value for key, value in TRAINER_DEFAULTS.items()})
        parser.add_argument(
            "--model",
            type=LTModule,
            required=True,
            help="RepresentationModule for stage 1, RetrainModule for stage 2; `--model.help NAME` lists its options. "
            "`validate`, `test` and `predict` need none with `--ckpt_path`: the checkpoint names its model.",
        )
        parser.add_argument(
            "--data",
            type=LTDataModule,
            required=True,
            help="Training, validation and test images; `--data.help NAME` lists the options of a source.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Let the model learn from the data what the data alone know."""
        add_data_links(parser, "model")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse a command line or a dictionary."""
        ours = getattr(self, "_subcommand_parsers", {}).get(self._typed, parser)
        with sentences(self._typed or "fit", parser=ours, typed=args if isinstance(args, list) else ()):
            self.config = parser.parse_object(args) if isinstance(args, dict) else parser.parse_args(args)
            running = self.config.get("subcommand")
            refuse_nulls(self.config[running] if running else self.config)  # of what is typed, not of old files
            self._ckpt_path = self.config[running].get("ckpt_path") if running else None
            if self._ckpt_path is not None:
                typed = parser.parse_args(args, defaults=False)
                self.config = with_checkpoint(parser, self.config, typed, running, str(self._ckpt_path))
                self.config[running].ckpt_path = None  # else Lightning would lay the checkpoint over what was typed

    def before_instantiate_classes(self) -> None:
        """Give the checkpoint back, which is to be loaded."""
        if self._ckpt_path is not None:
            self.config[self.subcommand].ckpt_path = self._ckpt_path

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's commands, without its second table beside ours."""
        commands = LightningCLI.subcommands()
        return {**commands, "validate": commands["validate"] | {"verbose"}, "test": commands["test"] | {"verbose"}}

    def fit(self, **kwargs: Any) -> None:
        """Train, from where a job that SLURM has put back was interrupted, or from the checkpoint that was given."""
        given = kwargs.get("ckpt_path")
        if given is not None and saved_by_this_job(self.trainer, str(given)):
            rank_zero_only(print)("going on with what this job saved, instead of `ckpt_path`", flush=True)
            kwargs["ckpt_path"] = "hpc"
        if kwargs.get("ckpt_path") in (None, "hpc"):
            require_own(self.trainer, digest_of(self.subcommand, self.config_dump))
        self.spare_earlier_run(kwargs.get("ckpt_path"))
        with interruptible(self._what_remains, "data.batch_size", "data.eval_batch_size"), sigterm_interrupts():
            self.trainer.fit(**kwargs)

    def _what_remains(self) -> str:
        """What to do about a training that was interrupted, the second half of a sentence."""
        path = "" if self.last_epoch is None else self.last_epoch.best_model_path
        if not path or not get_filesystem(path).exists(path):  # named before it is written, or in an earlier run
            path = "" if self._ckpt_path is None else str(self._ckpt_path)
        if not path.endswith(".ckpt"):  # none, or a word of Lightning's
            return "no epoch has been saved; run the same command again."
        return f"`{path}` holds the last epoch that was saved; `fit --ckpt_path` goes on from it."

    def validate(self, **kwargs: Any) -> None:
        """Evaluate on the validation images."""
        self.require_weights(kwargs.get("ckpt_path"))
        self.spare_earlier_run(kwargs.get("ckpt_path"))
        with interruptible(self.what_is_written, "data.eval_batch_size"), sigterm_interrupts():
            self.trainer.validate(**kwargs, verbose=False)

    def test(self, **kwargs: Any) -> None:
        """Evaluate on the test images."""
        self.require_weights(kwargs.get("ckpt_path"))
        self.spare_earlier_run(kwargs.get("ckpt_path"))
        with interruptible(self.what_is_written, "data.eval_batch_size"), sigterm_interrupts():
            self.trainer.test(**kwargs, verbose=False)

    def what_is_written(self) -> str:
        """What an evaluation that was interrupted leaves and what to do, the second half of a sentence."""
        path = self._results.written
        return NOTHING_REMAINS if path is None else f"the results are in `{path}`."

    def require_weights(self, path: str | None) -> None:
        """Refuse to evaluate a network that nothing has trained, or that training has left unfinished.

        Raises:
            UsageError: If there is no checkpoint to take weights from, or one that nobody has named.
        """
        if path == "last":  # of which Lightning only warns
            savers = (one for one in self.trainer.checkpoint_callbacks if isinstance(one, ModelCheckpoint))
            if not any(saver._find_last_checkpoints(self.trainer) for saver in savers):
                raise UsageError("`ckpt_path` is 'last', but a new run's folder holds none; give the file's path.")
        # Stage 2 brings weights along, and so may a class derived from stage 1's.
        if path is None and type(self.model) is RepresentationModule:
            raise UsageError(
                f"`{self.subcommand}` was given no `--ckpt_path`, so the network would have random weights; give the "
                f"`last.ckpt` of a run."
            )
        if path is None:  # for which a Trainer takes what a job's training has saved in this folder
            require_own(self.trainer, digest_of(self.subcommand, self.config_dump))

    def spare_earlier_run(self, path: str | None) -> None:
        """Refuse the folder of a logger of the user's where an earlier run lies, unless training goes on with that.

        Args:
            path: Value of ``--ckpt_path``.

        Raises:
            UsageError: If files of another run would be replaced.
        """
        logger, trains = self.trainer.logger, self.subcommand == "fit"
        if self.folder is not None or not isinstance(logger, CSVLogger | TensorBoardLogger):
            return
        results = folder = Path(logger.log_dir)
        if isinstance(logger, TensorBoardLogger) and logger.sub_dir is not None:
            folder = results.parent  # of checkpoints
        goes_on = has_begun_before(self.trainer) or (path is not None and is_of_run_in(folder, str(path)))
        if not (trains and goes_on):
            check_unused(folder, trains)
            check_unused(results, trains)

    # -- what is made from it ----------------------------------------------------------------------------------------

    def instantiate_classes(self) -> None:
        """Make data, model and trainer; a user's mistake found on the way stays one sentence."""
        try:
            with (
                weights_of(self._ckpt_path),
                instantiation_sentences(),
                trainer_sentences(),
                refusing_abstract_classes(),
                refusing_unbegun_modules("model", "(…)"),
            ):
                super().instantiate_classes()
        except UsageError:
            raise
        except ValueError as error:
            if isinstance(error.__cause__, UsageError | OSError):  # jsonargparse wraps what a link's function raises
                raise error.__cause__ from error
            raise

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add the run's folder and our callbacks; this comes after data and model have been made without complaint."""
        check_begun("model", self.model, "class_counts", "(*args, **options)")
        given = self._get(self.config_init, "trainer", default={})
        options, preset, seed = TrainerOptions(given), self._preset(), self._get(self.config, "seed_everything")
        if self.subcommand == "fit":
            if isinstance(self.model, RetrainModule):
                self.model.require_training()  # not after an end of training has been asked for, and all images read
            if not options.has_end:
                raise UsageError(
                    "`trainer.max_epochs` is not set, so training would have no end; give `--trainer.max_epochs`."
                )
            kwargs |= training_defaults(given)
        root, run = Path(options.root or "runs") / preset, digest_of(self.subcommand, self.config_dump)
        if options.root is None and (job := folder_of_job(root, f"seed_{seed}-{run}")) is not None:
            kwargs["default_root_dir"] = self.folder or job
        if options.lacks_folder:
            kwargs["logger"] = options.loggers_in(self._run_folder(root))
        elif options.trial and options.loggers is None:
            kwargs["logger"] = [CSVLogger(root)]  # which writes nothing in a trial, but callbacks may ask for one
        if options.wants_no_files:
            self.save_config_callback = None  # it would write into the current folder
        signals = Signals(run, seeded=seed is not None and seed is not False)
        self.trainer_defaults["callbacks"] = [*self._callbacks(options, root, preset, seed), signals]
        trainer = super().instantiate_trainer(**kwargs)
        if self.subcommand == "fit":
            self.datamodule.check_processes(trainer.num_devices * trainer.num_nodes)
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and not one of the user's
            trainer.strategy.checkpoint_io = WholeCheckpoints()
        return trainer

    def _callbacks(self, options: TrainerOptions, root: Path, preset: str, seed: int | bool | None) -> list[Callback]:
        """Ours: results, predictions, progress, and the last epoch's checkpoint."""
        settings, shows = without(self.config_dump, PLACES), self.subcommand is not None
        self._results = callbacks.ResultsWriter(preset, seed, print_table=shows, settings=settings)
        made: list[Callback] = [self._results]
        if self.subcommand == "predict":
            made += self.writing_callbacks()
        if options.wants_progress:
            made.append(callbacks.progress_shown())
        if options.wants_checkpoints:
            # Without a logger a Trainer would have one folder for all runs.
            alone = options.loggers == [] and self.subcommand in (None, "fit")
            self.last_epoch = LastCheckpoint(self._run_folder(root) / "checkpoints" if alone else None)
            made.append(self.last_epoch)
        return made

    def _run_folder(self, root: Path) -> Path:
        """The run's folder, made when it is first asked for."""
        if self.folder is None:
            self.folder = self._claimed = claim_folder(root, "trainer.default_root_dir")
        return self.folder

    def _leave_no_empty_folder(self) -> None:
        if self._claimed is not None:
            give_back_folder(self._claimed)

    def writing_callbacks(self) -> list[Callback]:
        """What writes the predictions of ``predict``."""
        return [callbacks.PredictionsWriter()]

    def _preset(self) -> str:
        files = map(str, self._get(self.config, "config") or [])
        return presets.name_among(files, str(self._get(self.config, "model").class_path).rpartition(".")[2])


def _of_parsers(commands: Iterable[str]) -> dict[str, Any]:
    """Options of all parsers: a command's help begins with what it does.

    The name is in the usage also where the command was not typed by it, as with ``torchrun -m lt_lightning``.
    """
    each = {name: {**STRICT, "description": _DESCRIPTIONS[name]} for name in commands}
    return {**STRICT, "prog": "lt-lightning", **each}


def add_data_links(parser: LightningArgumentParser, model: str) -> None:
    """Link what the data know into the model at ``model``, when both are made."""
    parser.link_arguments("data", f"{model}.init_args.class_counts", compute_fn=_class_counts, apply_on="instantiate")
    parser.link_arguments("data", f"{model}.init_args.group_thresholds", compute_fn=_thresholds, apply_on="instantiate")


def _class_counts(data: LTDataModule) -> list[int]:
    check_announced(data)
    return list(data.class_counts)


def _thresholds(data: LTDataModule) -> tuple[int, int]:
    return data.group_thresholds
