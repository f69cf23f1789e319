"""``pipeline``: stage 1, then stage-2 methods on its frozen backbone, then one table; one YAML, one command.

.. code-block:: yaml

    seed_everything: 0
    output: runs/mine           # each run makes a new version_K in it
    trainer: {accelerator: auto}    # devices, precision …: the same for all stages
    data: {class_path: CIFAR100LT, init_args: {root: data}}
    stage1:
      model: {class_path: RepresentationModule, init_args: {…}}
      trainer: {max_epochs: 200}
    stage2:
      lort:
        model: {class_path: RetrainModule, init_args: {…}}     # `checkpoint` is stage 1's last epoch
        trainer: {max_epochs: 20}
        sampler: ClassBalancedSampler    # of the data, a stage may change these three: never the split
        batch_size: 32
        augmentation: none               # or a class

``augmentation`` is what training images go through besides crops and flips; ``none`` leaves these alone.
"""

from lt_lightning.pipeline.command import main

__all__ = ["main"]
