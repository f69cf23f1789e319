"""A null where a value is needed is refused; one that an annotation, a default or somebody else admits is not."""

import inspect
from collections.abc import Callable, Hashable, Iterable
from typing import Annotated, Any, Literal, Optional, TypeVar

import pytest
import torch
from jsonargparse import Namespace
from lightning.pytorch import callbacks, loggers
from torch.optim import lr_scheduler

from lt_lightning.comparing.settings import Settings
from lt_lightning.data import DigitsLT
from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.nulls import refuse_nulls

Anything = TypeVar("Anything")


class OwnData(DigitsLT):
    def __init__(
        self,
        width: int = 3,
        words: list[str | None] = [],  # noqa: B006
        made: Callable[[int], int | None] = abs,
        text: "str" = "a",
        way: Literal["a", "b"] = "a",
        noted: Annotated[int, "pixels"] = 1,
        half: int | None = 3,
        older: Optional[int] = 3,  # noqa: UP045
        later: "int | None" = 3,
        one: Literal["a", None] = "a",
        remarked: Annotated[int | None, "pixels"] = 1,
        any_one: Any = 1,
        whole: object = 1,
        key: Hashable = 1,
        open_: Anything = 1,  # type: ignore[assignment]
        untyped=1,
        lax: int = None,  # type: ignore[assignment]  # noqa: RUF013
        **options: Any,
    ) -> None:
        super().__init__(**options)


class OwnUnreadable(DigitsLT):
    def __init__(self, width: "int" = 3, other: "Nowhere" = 1, **options: Any) -> None:  # noqa: F821
        super().__init__(**options)


class OwnUnfollowed(DigitsLT):
    def __init__(self, **options: Any) -> None:
        super().__init__(**dict(options))


class Elsewhere:
    def __init__(self, width: int = 3) -> None:
        self.width = width


def own_function(width: int = 3) -> Elsewhere:
    return Elsewhere(width)


def part(name, kind="OwnData", module=__name__):
    return Namespace(class_path=f"{module}.{kind}", init_args=Namespace(**{name: None}))


def assert_passes(**config):
    """Only a null that stands behind is refused, so that all before have been looked at."""
    with pytest.raises(UsageError, match=r"^`last\.width` is null"):
        refuse_nulls(Namespace(**config, last=part("width")))


@pytest.mark.parametrize("name", ["width", "words", "made", "text", "way", "noted", "batch_size", "sampler"])
def test_what_an_annotation_does_not_admit_is_refused(name):
    """Be it of one's own class or of its base."""
    sentence = rf"^`fit\.data\.{name}` is null, which it cannot be; give a value, or leave it out\.$"
    with pytest.raises(UsageError, match=sentence):
        refuse_nulls(Namespace(fit=Namespace(data=part(name))))


@pytest.mark.parametrize(
    "name",
    [
        *("half", "older", "later", "one", "remarked", "any_one", "whole", "key", "open_", "untyped", "lax"),
        *("max_count", "no_argument"),
    ],
)
def test_what_admits_it_or_leaves_it_open_passes(name):
    assert_passes(data=part(name))


def test_what_cannot_be_read_and_what_is_somebody_elses_passes():
    assert_passes(data=part("width", "OwnUnreadable"))
    assert_passes(data=part("width", "Elsewhere"), made=part("width", "own_function"), gone=part("x", "Gone"))
    assert_passes(trainer=Namespace(max_epochs=None, limit_train_batches=None), model=None, words=[None])


@pytest.mark.parametrize("module", [torch.optim, lr_scheduler, callbacks, loggers])
def test_no_null_is_refused_for_classes_of_torch_or_lightning(module):
    kinds = [kind for kind in vars(module).values() if inspect.isclass(kind) and not issubclass(kind, Iterable)]
    for kind in (kind for kind in kinds if kind.__module__.startswith(("torch.optim", "lightning"))):
        for name in inspect.signature(kind).parameters:
            assert_passes(part=part(name, kind.__name__, kind.__module__))


def test_a_class_within_a_list_or_a_class_is_found():
    drw = part("start", "DRW", "lt_lightning.callbacks")
    with pytest.raises(
        UsageError, match=r"^`trainer\.callbacks\.1\.start` is null, which it cannot be; give a value, or leave"
    ):
        refuse_nulls(Namespace(trainer=Namespace(callbacks=[part("width", "Elsewhere"), drw])))
    needed = part("root", "ImageListLT", "lt_lightning.data")
    with pytest.raises(UsageError, match=r"^`data\.root` is null, which it cannot be; give a value\.$"):
        refuse_nulls(Namespace(data=needed))
    inner = Namespace(class_path=f"{__name__}.OwnData", init_args=Namespace(any_one={"a": part("width")}))
    with pytest.raises(UsageError, match=r"^`data\.any_one\.a\.width` is null"):
        refuse_nulls(Namespace(data=inner))


def test_arguments_that_the_parser_cannot_follow_are_looked_at_too():
    refuse_nulls(Namespace(data=Namespace(class_path=f"{__name__}.OwnUnfollowed", dict_kwargs={"no_argument": None})))
    given = (f"--data={__name__}.OwnUnfollowed", "--data.dict_kwargs.batch_size=null", "--trainer.max_epochs=1")
    sentence = r"^`data\.dict_kwargs\.batch_size` is null, which it cannot be; give a value, or leave it out\.$"
    with pytest.raises(UsageError, match=sentence):
        main(["fit", "--model=RepresentationModule", "--model.backbone=SmallCNN", *given])


def test_what_the_data_fill_in_passes_for_a_model_alone():
    stage2 = {"kind": "RetrainModule", "module": "lt_lightning.modules"}
    for name in ("class_counts", "group_thresholds"):
        refuse_nulls(Namespace(model=part(name, **stage2)))
    with pytest.raises(UsageError, match=r"^`data\.group_thresholds` is null"):
        refuse_nulls(Namespace(data=part("group_thresholds")))
    advice = r"give torch\.optim\.lr_scheduler\.ConstantLR with factor 1\.$"
    with pytest.raises(UsageError, match=rf"^`model\.lr_scheduler` is null, .*; for a constant rate {advice}"):
        refuse_nulls(Namespace(model=part("lr_scheduler", **stage2)))


def test_arguments_of_one_class_are_looked_at_too():
    with pytest.raises(UsageError, match=r"^`epochs` is null, which it cannot be; give a value, or leave it out\.$"):
        refuse_nulls(Namespace(epochs=None), Settings)
