"""What can be said of a pipeline: its parser, made for the methods that it names."""

import inspect
from argparse import SUPPRESS
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser
from torch import Tensor

from lt_lightning import presets
from lt_lightning.augmentations import Augmentation
from lt_lightning.config_files import ConfigFile, apply_settings, command_parser
from lt_lightning.data import LTDataModule
from lt_lightning.errors import UsageError
from lt_lightning.main import TRAINER_DEFAULTS, add_data_links
from lt_lightning.modules import LTModule, RetrainModule
from lt_lightning.samplers import EpochSampler
from lt_lightning.wording import did_you_mean

DEVICES = ("accelerator", "devices", "num_nodes", "strategy")
_SHARED = (*DEVICES, "precision", "sync_batchnorm", "deterministic", "benchmark", "enable_progress_bar")
"""Trainer options that all stages have in common; every other one belongs to a stage."""
_OURS = ("logger", "default_root_dir", "enable_checkpointing", "fast_dev_run", *TRAINER_DEFAULTS)
"""Trainer options that the pipeline sets itself."""
STAGE1 = "stage1"
NO_AUGMENTATION = "none"
"""A stage's ``augmentation`` for crops and flips alone; a null would be dropped, and mean the data's."""
OF_STAGES = ("sampler", "batch_size", "augmentation")
"""Options of the data that a stage may have of its own: none of them has a part in the split."""
RESUME = "--resume"
_NULLS = ("null", "Null", "NULL", "~")
"""What is typed to leave a method out."""


def method_names(arguments: Sequence[str]) -> list[str]:
    """The stage-2 methods that configuration files and options speak of, in order of appearance.

    The parser is made for them, so they must be known before it parses. A null leaves out what was named before.

    Raises:
        UsageError: If a stage sets what the pipeline decides for all stages, a method has no model, or one is to be
            left out that is not there.
    """
    found: dict[str, bool] = {}
    for keys, value in _settings(arguments):
        option = keys[-1]
        if keys[0] == "stage2" and len(keys) == 2 and (value is None or value in _NULLS):
            _require_named(keys[1], found, typed=value in _NULLS)
            found.pop(keys[1], None)
            continue
        if keys[0] == "stage2" and len(keys) > 1:
            found[keys[1]] = found.get(keys[1], False) or keys[2:3] == ("model",) or option == "help"
            if keys[1] == STAGE1:
                raise UsageError(f"`stage2` names a method {STAGE1!r}, which is the first stage; call it otherwise.")
        stage = ".".join(keys[:2]) if keys[0] == "stage2" else keys[0]
        if keys[0] in (STAGE1, "stage2") and keys[-2:-1] == ("trainer",) and option in (*_SHARED, *_OURS):
            where = f"`trainer.{option}` for the whole pipeline" if option in _SHARED else "`output` instead"
            raise UsageError(f"`{stage}.trainer.{option}` is {value!r}, but stages cannot differ in it; set {where}.")
        if keys[0] == "stage2" and option == "checkpoint" and value is not None:
            raise UsageError(
                f"`{stage}.model.checkpoint` is {value!r}, but in a pipeline stage 2 starts from its own stage 1; "
                f"remove it, or use `lt-lightning fit` for an existing checkpoint."
            )
    for name in (name for name, has_model in found.items() if not has_model):
        others = [other for other, has_model in found.items() if has_model]
        question = did_you_mean(name, others)
        meant = f" ({question})" if question else ""
        there = f"; the configuration has {', '.join(others)}" if others else ""
        raise UsageError(
            f"`stage2.{name}` names a method without a `model`{meant}{there}; a new method needs "
            f"`--stage2.{name}.model`."
        )
    return list(found)


def _require_named(name: str, found: Mapping[str, bool], typed: bool) -> None:
    """Refuse to leave out what is not there; a file that stacks others has lost the name by now."""
    if typed and name not in found:
        question = did_you_mean(name, found)
        meant = f" ({question})" if question else ""
        raise UsageError(f"`stage2.{name}` is null, which leaves a method out, but none has this name{meant}.")


def without_left_out(arguments: Sequence[str], methods: Sequence[str]) -> Iterator[str]:
    """The words of a command line but for those about methods that were left out.

    Args:
        arguments: As typed.
        methods: What :func:`method_names` found in them.
    """
    words = zip_longest(arguments, arguments[1:])
    for word, following in words:
        option, separator, value = word.partition("=")
        keys = option.split(".")
        is_null = len(keys) == 2 and (value if separator else following) in _NULLS
        if keys[0] == "--stage2" and len(keys) > 1 and (is_null or keys[1] not in methods):
            if not separator:
                next(words, None)
        else:
            yield word


def nothing_to_do(arguments: Sequence[str]) -> UsageError:
    """The error to raise where no stage-2 method is named: of a configuration of ``fit``'s, or of none."""
    if any(keys[0] == "model" for keys, _ in _settings(arguments)):
        return UsageError(
            "the configuration has `model`, so it is one of `lt-lightning fit`, not of `pipeline`, which needs "
            "`stage1` and `stage2`; give such a one, as `-c quickstart` is."
        )
    return UsageError("`stage2` names no method; give a configuration with `-c`, such as `-c quickstart`.")


def _settings(arguments: Sequence[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every (keys, value) that files and options set, before any validation."""
    for word, following in zip_longest(arguments, arguments[1:]):
        option, separator, value = word.partition("=")
        given = value if separator else following or ""
        if option in ("-c", "--config"):
            yield from _leaves(presets.load(given), ())
        elif option.startswith("--") and "." in option:
            yield tuple(option[2:].split(".")), given


def _leaves(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(content, Mapping) and content:
        for key, value in content.items():
            yield from _leaves(value, (*keys, str(key)))
    elif keys:
        yield keys, content


def _config_of(methods: Sequence[str]) -> type[ConfigFile]:
    """``-c`` that knows these methods alone: what a file says of those that were left out it passes over."""

    class ConfigOfMethods(ConfigFile):
        @staticmethod
        def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: Any) -> None:
            path = presets.resolve(str(value))
            content = presets.load(path)
            if isinstance(content, Mapping) and isinstance(content.get("stage2"), Mapping):
                # A null for one that is named again says nothing; to jsonargparse it would be a stage without defaults.
                said = {name: stage for name, stage in content["stage2"].items() if stage is not None}
                content = {**content, "stage2": {name: said[name] for name in said if str(name) in methods}}
            apply_settings(parser, cfg, dest, path, content)

    return ConfigOfMethods


def build_parser(methods: Sequence[str]) -> LightningArgumentParser:
    """The parser for these stage-2 methods; it finds misspelt keys and wrong types of all stages at once."""
    parser = command_parser(
        "pipeline",
        description="Train stage 1, then any number of stage-2 methods on it; print one table.",
        config_help="A YAML file or the name of a preset.",
        action=_config_of(methods),
    )
    parser.add_argument("--seed_everything", type=int, default=0, help="Seed of every stage.")
    parser.add_argument("--output", type=str, default="runs/pipeline", help="Each run makes a new version_K in it.")
    parser.add_argument(RESUME, type=str, default=SUPPRESS, help="A version_K that was interrupted, to go on with.")
    every = set(inspect.signature(Trainer).parameters)
    parser.add_class_arguments(Trainer, "trainer", skip=every - set(_SHARED), instantiate=False)
    parser.add_argument("--data", type=LTDataModule, required=True, help="Training, validation and test images.")
    for stage in (STAGE1, *(f"stage2.{method}" for method in methods)):
        kind = LTModule if stage == STAGE1 else RetrainModule
        parser.add_argument(f"--{stage}.model", type=kind, required=True, help=f"What {stage} trains.")
        parser.add_class_arguments(Trainer, f"{stage}.trainer", skip={*_SHARED, *_OURS}, instantiate=False)
        parser.add_argument(f"--{stage}.sampler", type=Callable[[Tensor, int], EpochSampler], help="Instead of data's.")
        parser.add_argument(f"--{stage}.batch_size", type=int, help="Instead of data's.")
        parser.add_argument(
            f"--{stage}.augmentation",
            type=Literal["none"] | Callable[[], Augmentation] | None,
            help="A class instead of data's; none for crops and flips alone.",
        )
        add_data_links(parser, f"{stage}.model")
        if kind is RetrainModule:
            parser.link_arguments("output", f"{stage}.model.init_args.checkpoint", compute_fn=_stage1_checkpoint)
    return parser


def _stage1_checkpoint(output: str) -> str:
    """Stands for the file until stage 1 has written it."""
    return f"{output}/{STAGE1}/checkpoints/last.ckpt"
