"""CIFAR-10-LT and CIFAR-100-LT (Krizhevsky 2009; long tails as in Cui et al. 2019 and Cao et al. 2019)."""

from torchvision import datasets

from lt_lightning.data.public_sets import PublicSetFacts, PublicSetLT

# The constants of LDAM's and most later code, for both sets.
_MEAN = (0.4914, 0.4822, 0.4465)
_STD = (0.2023, 0.1994, 0.2010)

_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"

_CIFAR100_NAMES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree
wolf woman worm
"""


class CIFAR10LT(PublicSetLT):
    """CIFAR-10 cut to a long tail: 32×32 RGB, up to 5,000 training images per class, 10,000 test images."""

    @property
    def facts(self) -> PublicSetFacts:
        """CIFAR-10's names, sizes and pixel statistics."""
        return PublicSetFacts(
            name="cifar10",
            class_names=tuple(_CIFAR10_NAMES.split()),
            pool_counts=(5000,) * 10,
            mean=_MEAN,
            std=_STD,
            dataset=datasets.CIFAR10,
            folder="cifar-10-batches-py",
        )


class CIFAR100LT(PublicSetLT):
    """CIFAR-100 cut to a long tail: 32×32 RGB, up to 500 training images per class, 10,000 test images.

    At ``imbalance_ratio=100``: 10,847 training images, 35 / 35 / 30 classes with many / medium / few. CIFAR-100 repeats
    some images (Barz and Denzler 2020): in the published row order some of them are pixel for pixel in the test set
    too. They are kept, as everywhere in the literature.
    """

    @property
    def facts(self) -> PublicSetFacts:
        """CIFAR-100's names, sizes and pixel statistics."""
        return PublicSetFacts(
            name="cifar100",
            class_names=tuple(_CIFAR100_NAMES.split()),
            pool_counts=(500,) * 100,
            mean=_MEAN,
            std=_STD,
            dataset=datasets.CIFAR100,
            folder="cifar-100-python",
        )
