"""The shape of a network's input, and in words how images become it."""

from lt_lightning.data.base import LTDataModule


def input_shape(data: LTDataModule) -> tuple[int, ...] | None:
    """Shape of one input of a network: channels, height and width of an image; ``None`` where there is none."""
    images = data.undistorted("train")
    if images is None:
        return None
    return tuple(data.to_input(images.__getitems__([0])[0], False, None).shape[1:])


def say_how_images_are_prepared(data: LTDataModule) -> None:
    """Print how images become input: a foreign checkpoint does not say how its own did; differences cost accuracy."""
    how = data.describe_transform(training=False)
    if {"image_size", "resize", "mean", "std"} <= how.keys():
        print(
            f"images: shorter side {how['resize']}, middle {how['image_size']} × {how['image_size']}, mean "
            f"{how['mean']}, std {how['std']}; if the network is used to others, say so by `data.resize`, "
            f"`data.image_size`, `data.mean` and `data.std`",
            flush=True,
        )
