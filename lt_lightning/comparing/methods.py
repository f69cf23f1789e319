"""From a method's name to its settings: presets, files, and a user's own classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from lt_lightning import presets
from lt_lightning.comparing.settings import UNSAID, Plain, SettingsParser, about
from lt_lightning.errors import UsageError
from lt_lightning.heads import Head
from lt_lightning.losses import Loss
from lt_lightning.wording import did_you_mean

BUILT_IN = "cifar100_lt/"
"""The presets whose stage-2 methods go by their names alone: every method has one there."""

STAGE1, ORACLE = "stage 1", "oracle"
"""Rows of a comparison that are no methods."""

_NOT_METHODS = ("stage1/", "pipeline_", "best")
_PARTS = ("head", "loss", "optimizer", "lr_scheduler", "allow_double_balancing")
_LEFT_OUT = ("callbacks", "callbacks+", "gradient_clip_val", "accumulate_grad_batches")
"""Options of the Trainer that change what is learnt, and that heads which train together cannot have."""
_NEUTRAL = ("accumulate_grad_batches", 1)
_OF_CLASS = {"class_path", "init_args", "dict_kwargs"}
"""What a class in a configuration consists of."""
_YAML = (".yaml", ".yml")
_MANY_CLASSES = 100  # above, LORT's paper has another δ


@dataclass(frozen=True)
class Method:
    """A stage-2 method, not yet made.

    Attributes:
        name: What it is called in tables.
        plain: Its settings, those of :class:`Settings`.
        trains: Whether there is anything to train.
        ends: Whether training has an end; a configuration for ``fit`` of what does not train has null for the epochs.
        given: What ``methods`` was told: a path, where the name is the last of it.
    """

    name: str
    plain: Plain
    trains: bool = True
    ends: bool = True
    given: str = ""

    def with_settings(self, **changes: Any) -> "Method":
        """The same method with some settings changed."""
        return replace(self, plain={**self.plain, **changes})


def built_in_methods() -> list[str]:
    """Names of the methods that ``all`` stands for."""
    names = [name.removeprefix(BUILT_IN) for name in presets.names() if name.startswith(BUILT_IN)]
    return [name for name in names if not name.startswith(_NOT_METHODS)]


def find_methods(
    wanted: str | Sequence[str], class_counts: list[int], parser: SettingsParser, num_features: int = 1
) -> list[Method]:
    """The methods of a list.

    Args:
        wanted: ``all``, or names, separated by commas or as a list. A name is that of a method (``lort``), of a
            stage-2 preset (``imagenet_lt/lort``), of a YAML file like one, or the import path of a head or a loss.
        class_counts: Training images per class.
        parser: Makes the parts.
        num_features: Length D of a feature vector, which a head of one's own may be particular about.

    Raises:
        UsageError: If a name is not known, comes twice, is in files that of another row, or its parts do not go
            together.
    """
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    names = [name.strip() for name in names if name.strip()]
    if names == ["all"]:
        names = built_in_methods()
    if not names:
        raise UsageError(f"`methods` names none; give `all` or some of {', '.join(built_in_methods())}.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"`methods` names {twice!r} twice; name each method once.")
    found: list[Method] = []
    taken = {name_in_files(row): f"the row {row!r} of every comparison" for row in (STAGE1, ORACLE)}
    for name in names:
        method = _find(name, len(class_counts))
        called = name_in_files(method.name)
        if called in taken:
            raise UsageError(
                f"`methods` names {name!r}, which would be called {called!r} in files, as {taken[called]} is; put it "
                f"into a YAML file of another name."
            )
        taken[called] = repr(name)
        length = num_features if "head" in parser.from_elsewhere(method.plain, method.name) else 1
        with about(method.name):
            head, _ = parser.make(method.plain, method.name).parts(length, class_counts)
        trains = any(parameter.requires_grad for parameter in head.parameters())
        if trains and not method.ends:
            raise UsageError(
                f"`methods` {name} sets `trainer.max_epochs` to null, but `compare` trains heads for a number of "
                f"epochs; give it one, or train with `lt-lightning fit`."
            )
        found.append(replace(method, trains=trains, given=name))
    return found


def name_in_files(row: str) -> str:
    """What a row is called in the names of arrays and folders; no two rows of a comparison are called the same."""
    return row.replace(" ", "").replace("/", "_")


def _find(name: str, num_classes: int) -> Method:
    if name in built_in_methods():
        plain = _settings_of(presets.load(BUILT_IN + name), name)
        if name == "lort" and num_classes > _MANY_CLASSES:
            fragment = presets.folder() / presets.FRAGMENTS / "methods/lort_many_classes.yaml"
            plain = presets.merge(plain, {"loss": presets.load(str(fragment))["model"]["init_args"]["loss"]})
        return Method(name, plain)
    if Path(name).suffix in _YAML or name in presets.names():
        label = Path(name).stem if Path(name).suffix in _YAML else name
        config = _load(name)
        return Method(label, _settings_of(config, name), ends=_ends(config))
    if "." in name:
        return _from_class(name)
    hint = did_you_mean(name, built_in_methods(), cutoff=0.4) or f"choose from {', '.join(built_in_methods())}."
    raise UsageError(f"`methods` names {name!r}, which is no method, preset, file or class; {hint}")


def _load(name: str) -> Any:
    try:
        return presets.load(name)
    except UsageError as error:  # said of the files of a command
        raise UsageError(str(error).replace("`--config`", "`methods`")) from error


def _settings_of(config: Any, name: str) -> Plain:
    """The settings of a configuration for ``fit``, or of a file that has nothing but the settings."""
    if not isinstance(config, Mapping):
        raise UsageError(f"`methods` {name} holds no settings but {config!r}.")
    if "model" not in config:
        return dict(presets.merge(recipe(), config))
    model = config["model"]
    kind = str(model.get("class_path", "")).rpartition(".")[2] if isinstance(model, Mapping) else str(model)
    if kind != "RetrainModule":
        raise UsageError(
            f"`methods` {name} is a configuration of {kind or 'no model'}, not of stage 2's RetrainModule."
        )
    arguments, data = (_arguments(config.get(part), part, name) for part in ("model", "data"))
    plain = UNSAID | {key: arguments[key] for key in _PARTS if key in arguments}
    plain |= {key: data[key] for key in ("sampler", "batch_size") if key in data}
    trainer = config.get("trainer") or {}
    lost = next((key for key in _LEFT_OUT if trainer.get(key) and (key, trainer[key]) != _NEUTRAL), None)
    if lost is not None:
        raise UsageError(
            f"`methods` {name} sets `trainer.{lost.rstrip('+')}`, which `compare` cannot do, for it trains heads "
            f"without a Trainer; take it out, or train with `lt-lightning fit`."
        )
    epochs = trainer.get("max_epochs")
    return plain if epochs is None else {**plain, "epochs": epochs}


def _ends(config: Mapping[str, Any]) -> bool:
    """Whether a configuration sets the epochs to a number, or leaves them to us."""
    trainer = config.get("trainer") or {}
    return "max_epochs" not in trainer or trainer["max_epochs"] is not None


def _arguments(part: Any, key: str, name: str) -> Mapping[str, Any]:
    """Of a class in a configuration; one by its name alone has none, and where no name is given there is nothing else.

    Args:
        part: The class.
        key: Of it, in an error.
        name: Of the method.
    """
    if not isinstance(part, Mapping):
        return {}
    if _OF_CLASS.isdisjoint(part):
        return part
    beside = next((option for option in part if option not in _OF_CLASS), None)
    if beside is not None:
        raise UsageError(
            f"`methods` {name} has `{key}.{beside}` beside `init_args`, where nothing reads it; put it below "
            f"`init_args`."
        )
    return part.get("init_args") or {}


def _from_class(path: str) -> Method:
    """A head with cross entropy, or a loss on a linear head, in LORT's setting of stage 2."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"`methods` names {path!r}, which cannot be imported ({error}).") from error
    part = next((part for part, base in (("head", Head), ("loss", Loss)) if _derives(found, base)), None)
    if part is None:
        raise UsageError(f"`methods` names {path!r}, which is neither a `Head` nor a `Loss` of this package.")
    given = {"head": 2, "loss": 1}[part]  # arguments that everyone gets first
    lacking = [
        key
        for key, argument in list(signature(found).parameters.items())[given:]
        if argument.default is argument.empty and argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
    ]
    if lacking:
        raise UsageError(
            f"`methods` names {path!r}, which has no default for {', '.join(map(repr, lacking))}; give a YAML file "
            f"with `{part}: {{class_path: {path}, init_args: {{{lacking[0]}: …}}}}` instead."
        )
    return Method(name, {**recipe(), part: {"class_path": path}})


def recipe() -> Plain:
    """LORT's setting of stage 2, for what says no more than a head or a loss."""
    return _settings_of(presets.load(str(presets.folder() / presets.FRAGMENTS / "recipes/lort_stage2.yaml")), "recipe")


def _derives(found: Any, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)
