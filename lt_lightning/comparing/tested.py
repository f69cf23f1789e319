"""Which classes test images can say something of."""

from lt_lightning.comparing.setup import Setup
from lt_lightning.data.splits import classes_without
from lt_lightning.errors import UsageError
from lt_lightning.wording import first_few


def check_tested(setup: Setup) -> None:
    """Warn of classes without a test image: means over classes leave them out, and mostly they are of the tail.

    Raises:
        UsageError: If there are test images of which no class is known.
    """
    test, names = setup.data.split("test"), setup.data.class_names
    assert test is not None
    unknown = int((test.targets < 0).sum())
    if unknown:
        raise UsageError(
            f"`{type(setup.data).__name__}` has test images of which no class is known, {unknown} in all, so they "
            f"cannot judge methods; give test images with labels."
        )
    untested = [str(names[label]) for label in classes_without(test.targets, len(names))]
    if untested:
        setup.warn(
            f"{len(untested)} of {len(names)} classes have no test image and are left out of the accuracies: "
            f"{first_few(untested)}."
        )
