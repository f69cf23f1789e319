"""What jsonargparse complains of, in one sentence."""

import importlib
import inspect
import pkgutil
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torchvision
from jsonargparse import ArgumentParser

from lt_lightning import augmentations, backbones, callbacks, data, heads, losses, mixing, modules, samplers
from lt_lightning.errors import UsageError
from lt_lightning.packages import imported, is_ours
from lt_lightning.wording import did_you_mean, one_line

_NOISE = (
    re.compile(r"Type [\w.]*Callable\[.*?\] expects a function or a callable class: "),
    re.compile(r"\. Got value: (?:Namespace\(.*\)|\[(?:Namespace\(|\{).*\])$"),
    re.compile(r"With fail_untyped=True, all mandatory parameters must have a supported type\. "),
)
"""What jsonargparse's messages can do without."""

_UNION = re.compile(
    r"(?:- Expected a path but \S* either not accessible or invalid - )?"
    r"Does not validate against any of the Union subtypes Subtypes: \[.*?\] Errors: - (?P<reasons>.*?) "
    r"Given value type: <class '[^']*'> Given value: (?P<value>NestedArg\(.*?\)|\S*)"
)
"""What jsonargparse says of a value where several types would do."""

_LIST = re.compile(r"(?:Got|Given) value: \[.*$")
"""A whole list in which one part is wrong."""

_AROUND = re.compile(r"(Got value: .*?)(?: or Expected an? \w+)*\. Got value: \[.*\]$")
"""The same behind that part, and what could have stood for the whole; it may be as long as the number of classes."""

_TYPE = re.compile(r"<class '(?:\w+\.)*(\w+)'>")

_NO_CLASS = re.compile(r"Expected a dot import path string: (\S*[^\s.])")
"""What jsonargparse says of a name without dots that no class has."""

_NO_ATTRIBUTE = re.compile(r"module '([\w.]+)' has no attribute '(\w+)'")
"""What Python says of a name with dots where nothing is."""

_ABSTRACT = re.compile(
    r"Parser key \"([^\"]+)\": Expected an instantiatable class, but [\w.]+ is abstract(?: or Expected an? \w+)*"
)
"""What jsonargparse says of options of a part whose class was not typed, and what could have stood for it."""

_REQUIRED = re.compile(r"^(?:`(?P<where>[^`]+)`: )?the following arguments are required: (?P<names>.+)$")

_ELSEWHERE = re.compile(r"^(?:Subcommand '\w+' does not accept option|Option) '(\w+)\.[^']*'(?: is not accepted)?")
"""What jsonargparse says of a configuration of another command."""

_BESIDE = re.compile(r"unrecognized arguments: --(optimizer|lr_scheduler)\b.*$")
"""What jsonargparse says of LightningCLI's own options of optimisers and schedules."""

_UNKNOWN = re.compile(r"^unrecognized arguments: (--(?!optimizer\b|lr_scheduler\b)[^\s=]+).*$")
"""What jsonargparse says of other options that there are not, such as one that is cut short."""

_CHAIN = re.compile(
    r"(?P<chain>(?:Parser key \"[^\"]+\": |Problem with given class_path '[\w.]*': )+)"
    r"(?:Option '(?P<option>[\w.]+)' is not accepted|unrecognized arguments: --(?P<deeper>[\w.]+)=.*$)?"
)
"""How jsonargparse leads to a value, from one class to the next, or to an option that the last one does not take,
for which it has other words where it is one of an option."""

_WORDS = re.compile(r"Expected a typing\.Literal\[(.+?)\]")
"""What jsonargparse says where one of a few words would do."""

_HOME = {"stage1": "pipeline", "stage2": "pipeline", "model": "fit", "trainer": "fit"}
"""Commands by keys of their configurations."""

_OF_ANOTHER_KIND = ("Expected a", "Not a valid subclass of")
"""How jsonargparse begins on the types that a value was not meant to be of."""

_GIVEN = re.compile(r"^Problem with given class_path '[\w.]*': ")

_PART = re.compile(
    r"Parser key \"([^\"]+)\"|"
    r"(?:given class_path |Namespace\((?:init_args=NestedArg\(.*?\), )?class_path=)'((?:\w+\.)*\w+)'"
)
"""Where jsonargparse was, and of which class."""


@contextmanager
def sentences(
    command: str,
    key: str = "model",
    shown_as: str = "model",
    parser: ArgumentParser | None = None,
    typed: Sequence[str] = (),
) -> Iterator[None]:
    """Turn what a parser complains of, over several lines and below a page of usage, into one sentence.

    It ends with the option that shows what there is: of the class that was given what it does not know.

    Args:
        command: Whose parser it is.
        key: A key that stands in the parser's messages for another one on the command line.
        shown_as: That one.
        parser: Whose options may have been misspelt.
        typed: The command line of what evaluates a checkpoint.
    """
    try:
        yield
    except (ArgumentError, ValueError) as error:
        if isinstance(error, UsageError) or not (isinstance(error, ArgumentError) or "fail_untyped" in str(error)):
            raise
        whole = one_line(getattr(error, "message", error))
        message = _UNION.sub(_reasons, whole)
        for noise in _NOISE:
            message = noise.sub("", message)
        message = _NO_ATTRIBUTE.sub(_no_attribute, _NO_CLASS.sub(_no_class, message))
        message = _AROUND.sub(r"\1", _TYPE.sub(r"\1", message)).rstrip(".")
        message = _ABSTRACT.sub(r"`\1` has options but no class; give it one by `--\1`, in front of them", message)
        message = _BESIDE.sub(_models, message)
        message = _UNKNOWN.sub(partial(_close, parser), message)
        if elsewhere := _elsewhere(command, message):
            raise UsageError(elsewhere) from None
        named = partial(re.sub, rf"^{key}(?=\.|$)", shown_as)
        about = _classes(_LIST.sub("", whole), named)
        message = _CHAIN.sub(partial(_place, named, about), message)
        message = _REQUIRED.sub(partial(_required, command, "--" if key == shown_as else "", typed), message)
        message = _WORDS.sub(lambda found: f"Expected one of {found[1].replace(chr(39), '')}", message)
        message = message.replace("Expected a int", "Expected an int")
        advice = f"{command} {_help_option(about)}"
        # From None: in Python the sentence would else come after a hundred lines of jsonargparse's tracebacks.
        raise UsageError(f"{message}; `lt-lightning {advice}` and `--print_config` list the options.") from None


def _required(command: str, dashes: str, typed: Sequence[str], found: re.Match[str]) -> str:
    """Options as they are typed, or keys where nobody types them, by their whole names; or what brings them along."""
    where = f"{found['where']}." if found["where"] else ""
    names = [where + name.removeprefix(f"{command}.") for name in found["names"].split(", ")]
    brought = ""
    evaluates = command in ("validate", "test", "predict") and any(name.partition(".")[0] == "model" for name in names)
    if evaluates or (command == "predict" and "data.checkpoint" in names):
        given = {word.partition("=")[0] for word in typed}
        if {"model", "data.checkpoint"} & {*names} and given.isdisjoint({"--ckpt_path", "-c", "--config"}):
            return "`--ckpt_path` must be given: a checkpoint, such as a run's `last.ckpt`"
        brought = " (`--ckpt_path` with a checkpoint of this package brings its model along)"
    return f"{', '.join(f'`{dashes}{name}`' for name in names)} must be given{brought}"


@contextmanager
def instantiation_sentences() -> Iterator[None]:
    """Turn what a class complains of when it is made of values that a parser has let pass into one sentence.

    Where a logger or a callback may be one or several or none, jsonargparse lists why it is no other kind as well.
    """
    try:
        yield
    except ValueError as error:
        found = _UNION.search(one_line(error))
        if isinstance(error, UsageError) or found is None:
            raise
        reasons = found["reasons"].removeprefix("- ").split(" - ")
        own = next((reason for reason in reasons if not reason.startswith(_OF_ANOTHER_KIND)), reasons[0])
        raise UsageError(_GIVEN.sub("", own)) from error


def _close(parser: ArgumentParser | None, found: re.Match[str]) -> str:
    """The options that one which there is not may have meant."""
    known = [] if parser is None else [name for name in parser._option_string_actions if not name.endswith("+")]
    question = did_you_mean(found[1], known, cutoff=0.7)
    return f"{found[0]} ({question})" if question else found[0]


def _models(found: re.Match[str]) -> str:
    """Where this package has what is LightningCLI's option beside the model."""
    return f"{found[0]} (here it is the model's: `--model.{found[1]}`)"


def _elsewhere(command: str, message: str) -> str:
    """The sentence on a configuration of another command; empty if the message is about something else."""
    found = _ELSEWHERE.match(message)
    home = _HOME.get(found[1], command) if found else command
    if found is None or home == command:
        return ""
    presets = (home, command) == ("fit", "compare")
    advice = "give presets to `--methods`" if presets else f"run `lt-lightning {home} -c` with it"
    return f"the configuration has `{found[1]}`, so it is one of `lt-lightning {home}`, not of `{command}`; {advice}."


def _reasons(found: re.Match[str]) -> str:
    """Each reason once; of those that look for another class or for nothing, none."""
    reasons = [
        reason
        for reason in dict.fromkeys(found["reasons"].split(" - "))
        if "NoneType" not in reason and "'lightning.Callback'" not in reason
    ]
    reasons = [reason for reason in reasons if _no_option(reason)] or reasons  # the one whose class was meant
    reasons = [reason for reason in reasons if not _is_no_name(reason)] or reasons
    value = "" if found["value"].startswith("NestedArg") else f". Got value: {found['value']}"
    return " or ".join(reasons) + value


def _no_option(reason: str) -> bool:
    return "is not accepted" in reason or "unrecognized arguments" in reason


def _is_no_name(reason: str) -> bool:
    """Whether a value was looked up as a class that nobody can have meant as one, such as a number with a typo."""
    found = _NO_CLASS.search(reason)
    return found is not None and not found[1].isidentifier()


def _place(named: Callable[[str], str], about: Mapping[tuple[str, ...], str], found: re.Match[str]) -> str:
    """Where a value is, by its whole key; or whose option there is not, and which one it may have meant."""
    parts = list(_PART.finditer(found["chain"]))
    keys = [named(part[1]) for part in parts if part[1]]
    where, option = ".".join(keys).replace(".init_args", ""), found["option"] or found["deeper"]
    if option is None:
        return f"`{where}`: " if where else ""
    whole = f"{where}.{option}" if where else option
    path = parts[-1][2] or (about[max(about, key=len)] if about else "")  # a factory's class comes after the message
    if not path:
        return f"`{whole}` is not accepted"
    name, kind = path.rpartition(".")[2], imported(path)
    hint = _not_handed_on(option, kind) or did_you_mean(option, _options_of(kind))
    return f"`{whole}` is no option of {name}{f' ({hint})' if hint else ''}"


def _not_handed_on(option: str, kind: Any) -> str:
    """What a class of one's own has not done with an option of its base class; empty if none has it."""
    bases = kind.__mro__[1:] if isinstance(kind, type) and not is_ours(kind) else ()
    base = next((base.__name__ for base in bases if option in _options_of(base)), None)
    return f"{base} has it, but `__init__` of {kind.__name__} does not hand it on to `super().__init__`" if base else ""


def _options_of(kind: Any) -> list[str]:
    """Names of a class's arguments, as far as it says; none of what could not be imported."""
    try:
        parameters = inspect.signature(kind).parameters.values()
        return [one.name for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    except (TypeError, ValueError):
        return []


def _classes(message: str, named: Callable[[str], str]) -> dict[tuple[str, ...], str]:
    """Import paths of the classes that a message is about, by the keys that lead there.

    A name that no class has, with or without a module in front, is a matter of the class whose argument it was, whose
    help lists what it takes.
    """
    keys: list[str] = []
    classes: dict[tuple[str, ...], str] = {}
    for part in _PART.finditer(message):
        if part[1]:
            keys.append(named(part[1]))
        elif not part[2].endswith("Callback") and imported(part[2]) is not None:
            # A factory's class comes after the message about it, with the keys that lead there: its own and, before it,
            # that of the class whose argument it is, if it is one's.
            own = 2 if tuple(keys[:1]) in classes else 1
            classes[tuple(keys[:own] if part[0].startswith("Namespace") else keys)] = part[2]
    return classes


def _help_option(about: Mapping[tuple[str, ...], str]) -> str:
    """The option that describes the innermost class that a message is about, where it is one of ours or known."""
    if not about:
        return "--help"
    at = max(about, key=len)
    outer = [f"--{at[0]} {_shortest(about[at[:1]])}"] if len(at) > 1 and at[:1] in about else []
    return " ".join([*outer, f"--{'.'.join(at)}.help {_shortest(about[at])}"])


def _shortest(class_path: str) -> str:
    """What a class may be called on the command line: short names are looked up in what the package imports."""
    package, _, name = class_path.rpartition(".")
    return name if package.partition(".")[0] in ("lt_lightning", "lightning", "torch") else class_path


def _no_class(found: re.Match[str]) -> str:
    """Name the classes of this package that a misspelt one may have meant."""
    parts = (augmentations, backbones, callbacks, data, heads, losses, mixing, modules, samplers)
    known = {name: part for part in parts for name, held in vars(part).items() if isinstance(held, type)}
    if found[1] in known:
        return f"{found[1]!r} of `{known[found[1]].__name__}` is of another kind"
    if found[1].lower() in torchvision.models.list_models(module=torchvision.models):
        return f"no class has the name {found[1]!r} (did you mean TorchvisionBackbone with `name` {found[1].lower()}?)"
    can_be_made = sorted(name for name, part in known.items() if not inspect.isabstract(vars(part)[name]))
    hint = did_you_mean(found[1], can_be_made) or "one of your own needs its module in front"
    return f"no class has the name {found[1]!r} ({hint})"


def _no_attribute(found: re.Match[str]) -> str:
    """Name what a module has, or a package below it, that a misspelt name may have meant."""
    module = importlib.import_module(found[1])
    below = (part.name for part in pkgutil.iter_modules(getattr(module, "__path__", ())))
    question = did_you_mean(found[2], sorted({*vars(module), *below}))
    return f"{found[0]} ({question})" if question else found[0]
