"""Presets by what can be done with them."""

from lt_lightning import presets

PIPELINES = {"quickstart", "cifar100_lt/pipeline_lort", "cifar100_lt/pipeline_all", "cifar100_lt/pipeline_best"}
SINGLE = sorted(set(presets.names()) - PIPELINES)
"""Those of one stage."""
FREE = {name for name in SINGLE if name.endswith(("/tau_norm", "/logit_adjustment", "/ncm"))}
"""Stages 2 that train nothing."""
STAGE1 = {name for name in SINGLE if "/stage1/" in name}
"""Those that train a network."""


def dataset_of(name):
    """What a preset's name begins with."""
    return name.partition("/")[0]
