"""The module that a checkpoint holds, made again from what the checkpoint says."""

from typing import cast

from jsonargparse import ArgumentParser

from lt_lightning.backbones import without_published_weights
from lt_lightning.errors import UsageError
from lt_lightning.long_lists import allow_long_lists
from lt_lightning.modules import LTModule
from lt_lightning.records import Record
from lt_lightning.wording import one_line


def rebuild(record: Record) -> LTModule:
    """The module that a checkpoint holds, with its weights, in evaluation mode and without gradients.

    Args:
        record: Of a checkpoint that the command line trained: its hyper-parameters are class paths and plain values.

    Raises:
        UsageError: If they are not, or no longer make a module that takes the weights.
    """
    place = f"`checkpoint` {str(record.path)!r}"
    if record.model is None:
        raise UsageError(
            f"{place} holds a model that was made in Python, so it cannot say what it is made of; make it there, load "
            f"its weights, and give `lt_lightning.export.write` an `export.Program` of it and what `export.describe` "
            f"says of that."
        )
    allow_long_lists()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=LTModule)
    arguments = {**record.model["init_args"], "compile": "none"}
    try:
        parsed = parser.parse_object({"model": {**record.model, "init_args": arguments}})
        with without_published_weights():
            module = cast(LTModule, parser.instantiate(parsed).model)
        module.load_state_dict(record.tensors)
    except UsageError:
        raise
    except Exception as error:  # a class of the user's own may raise anything
        reason = one_line(error, 300)
        raise UsageError(
            f"{place} cannot be made into a {record.model['class_path']} again ({reason}); use the version of the "
            f"package, and of parts of your own, that trained it."
        ) from error
    return module.eval().requires_grad_(False)
