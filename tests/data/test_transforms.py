import torch
from PIL import Image

from lt_lightning.data.transforms import eval_transform


def test_the_evaluation_crop_is_the_middle_of_the_resized_image():
    image = Image.new("RGB", (64, 128), (9, 9, 9))
    image.paste((200, 200, 200), (0, 48, 64, 80))
    tensor = eval_transform(28)(image)  # shorter side 32, so 32 x 64, and the middle 28 x 28 of it
    assert tensor.shape == (3, 28, 28)
    assert tensor.dtype == torch.uint8
    assert tensor[:, 14, 14].tolist() == [200] * 3
    assert tensor[:, 0, 0].tolist() == [9] * 3
