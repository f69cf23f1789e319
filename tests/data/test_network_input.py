"""What a network is given of the images."""

from lt_lightning.data import DigitsLT, ImageFolderLT
from lt_lightning.data.network_input import input_shape, say_how_images_are_prepared


class Rows(DigitsLT):
    """Each image as one row."""

    def to_input(self, images, training, generator):
        return super().to_input(images, training, generator).flatten(1)


def test_shapes_are_those_of_the_network_s_input(folder_root):
    assert input_shape(DigitsLT()) == (1, 8, 8)
    assert input_shape(Rows()) == (64,)
    assert input_shape(ImageFolderLT(root=str(folder_root), image_size=24)) == (3, 24, 24)


def test_how_images_are_prepared_is_said(folder_root, capsys):
    say_how_images_are_prepared(ImageFolderLT(root=str(folder_root), image_size=64, resize=64))
    said = capsys.readouterr().out
    assert said.startswith("images: shorter side 64, middle 64 × 64, mean (0.485, 0.456, 0.406), std (0.229, ")
    say_how_images_are_prepared(DigitsLT())
    assert capsys.readouterr().out == ""
