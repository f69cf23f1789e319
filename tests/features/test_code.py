"""Code of one's own is part of the name of features."""

import importlib
import linecache
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import v2

from lt_lightning.augmentations import Cutout
from lt_lightning.backbones import ResNet20, SmallCNN, TimmBackbone
from lt_lightning.data import DigitsLT
from lt_lightning.data.in_memory_images import InMemoryImages
from lt_lightning.features import code, extract
from lt_lightning.features.code import code_of

NETWORK = """
import torch
from torch import nn
from lt_lightning.backbones import Backbone
import helper_of_net
from helper_of_net import shift

GAIN = 1.0
TABLE = torch.ones(2)

def act(x):
    return x

class Base(Backbone):
    num_features = 4
    power = 1

class Net(Base):
    def __init__(self, scale=1.0):
        super().__init__()
        self.lin = nn.Linear(64, 4)
        self.scale = scale

    @torch.no_grad()
    def forward(self, x):
        x = self.lin(x.flatten(1))
        return helper_of_net.last(self._scaled(act(shift(x)))) * GAIN * TABLE[0]

    def _scaled(self, x):
        return [one * self.scale for one in [x]][0]

def unused():
    return 1
"""
HELPER = """
def shift(x):
    return x + 0.0

def last(x):
    return x * 1.0
"""


def network(folder, text=NETWORK, helper=HELPER, **options):
    """A `Net` of a file of its own, with the same weights whatever its code."""
    for name, source in (("helper_of_net", helper), ("net_of_mine", text)):
        sys.modules.pop(name, None)
        (folder / f"{name}.py").write_text(source)
    importlib.invalidate_caches()
    module = importlib.import_module("net_of_mine")
    torch.manual_seed(0)
    return module.Net(**options)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # of a file that is edited within the same second
    yield tmp_path
    for name in ("helper_of_net", "net_of_mine"):
        sys.modules.pop(name, None)


def test_an_edit_changes_it(folder):
    before = code_of(network(folder))
    assert {"net_of_mine", "helper_of_net"} <= set(before)
    assert code_of(network(folder)) == before
    assert code_of(network(folder, NETWORK.replace("self.lin(x.", "2 * self.lin(x."))) != before
    assert code_of(network(folder, helper=HELPER.replace("x + 0.0", "x + 1.0"))) != before


IMPORTING = """
from torch import nn
IMPORT
class Net(nn.Module):
    def forward(self, x):
        WITHIN
        return x * SIZE
"""


@pytest.mark.parametrize("place", ["IMPORT", "WITHIN"])
def test_so_does_an_edit_of_a_number_in_a_file_that_it_imports_from(folder, place):
    text = IMPORTING.replace(place, "from helper_of_net import SIZE").replace("IMPORT", "").replace("WITHIN", "")
    before = code_of(network(folder, text, "SIZE = 1\n"))
    assert code_of(network(folder, text, "SIZE = 1\n")) == before
    assert code_of(network(folder, text, "SIZE = 2\n")) != before


def test_files_of_a_package_of_ones_own_are_found_from_one_another(folder):
    (folder / "files_of_mine").mkdir()
    files = {"__init__": "", "sizes": "SIZE = 1\n", "parts": "from . import sizes\nfrom .sizes import SIZE\n"}
    files["net"] = "from torch import nn\nfrom .parts import SIZE\nclass Net(nn.Module):\n    pass\n"
    for name, text in files.items():
        (folder / "files_of_mine" / f"{name}.py").write_text(text)
    found = code_of(importlib.import_module("files_of_mine.net").Net())
    assert {"files_of_mine.net", "files_of_mine.parts", "files_of_mine.sizes"} <= set(found)
    for name in ("files_of_mine", *(f"files_of_mine.{name}" for name in files)):
        sys.modules.pop(name, None)


def test_so_does_a_plain_value_that_no_tensor_and_no_text_shows(folder):
    assert code_of(network(folder)) != code_of(network(folder, scale=2.0))
    assert code_of(network(folder, scale={"by": 1})) != code_of(network(folder, scale={"by": 2}))


def test_a_class_without_a_file_has_the_source_that_is_kept_of_it(folder):
    """As in a notebook, whose cells are kept in the cache of lines."""

    def typed(text):
        name = f"<cell {hash(text)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        scope = {"__name__": "__main__", "nn": nn}
        exec(compile(text, name, "exec"), scope)
        return scope["Cell"]()

    text = "class Cell(nn.Module):\n    def forward(self, x):\n        return x\n"
    main = sys.modules["__main__"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(main, "__file__", raising=False)
        assert code_of(typed(text)) == code_of(typed(text + "# another cell\n"))
        assert code_of(typed(text)) != code_of(typed(text.replace("return x", "return -x")))


def test_it_is_the_same_in_each_process(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from lt_lightning.backbones import Backbone\n"
        "class Net(Backbone):\n"
        "    def forward(self, x):\n"
        "        return x if self.kind in {'a', 'b', 'c', 'd'} else self.lin\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mine import Net\nfrom lt_lightning.features.code import code_of\nprint(code_of(Net()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1
    assert "'mine'" in found.pop()


def code_alone(*arguments, **options):
    """Less attributes."""
    return {name: of for name, of in code_of(*arguments, **options).items() if not name.startswith("attribute")}


def test_no_code_of_this_package_and_of_torch_counts():
    assert code_alone(ResNet20(), [DigitsLT()]) == {}
    assert code_alone(nn.Sequential(SmallCNN(8), nn.ReLU())) == {}


def test_of_other_packages_the_version_counts(monkeypatch):
    from torchvision.ops import MLP

    from lt_lightning.features import code

    found = code_alone(MLP(2, [2]))
    assert list(found) == ["torchvision"]
    code._package.cache_clear()
    monkeypatch.setattr(code.metadata, "version", lambda name: "0.0.1")
    assert code_alone(MLP(2, [2])) == {"torchvision": "torchvision 0.0.1"} != found
    monkeypatch.undo()
    code._package.cache_clear()


class Halved(DigitsLT):
    """Data of one's own."""

    def to_input(self, images, training, generator):
        return super().to_input(images, training, generator) / 2


class Twice:
    def __init__(self, factor=2):
        self.factor = factor

    def __call__(self, images):
        return images * self.factor


def other(factor, images):
    return factor * images


class Mine(Cutout):
    def __call__(self, images, generator=None):
        return images


def test_data_and_transforms_of_ones_own_count():
    assert __name__ in code_of(SmallCNN(8), [Halved()])

    def of(transform):
        data = DigitsLT()
        data.transform = transform
        return tuple(sorted(code_of(SmallCNN(8), [data]).items()))

    sizes = [v2.Resize(8), v2.Resize(16), v2.Compose([Twice(), v2.Resize(8)])]
    made = [Twice(), Twice(3), [Twice()], [Twice(), Twice()], partial(other, 2), torch.relu, torch.tanh, *sizes]
    assert len({of(transform) for transform in made}) == len(made) - 1  # a list of one does what its entry does
    assert of(Twice()) == of(Twice())
    assert all(
        __name__ in dict(of(transform)) for transform in (Twice(), [Twice()], partial(other, 2), Twice().__call__)
    )


def test_arrays_of_a_data_module_count_but_not_its_images():
    def of(**attributes):
        data, images = DigitsLT(), InMemoryImages(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2))
        vars(data).update(attributes)
        images.targets = torch.rand(2)
        return tuple(sorted(code_of(SmallCNN(8), [data, images]).items()))

    means = [{"mean": mean} for mean in (torch.zeros(1), torch.ones(1), np.zeros(1), [torch.zeros(1), torch.ones(1)])]
    assert len({of(**mean) for mean in (*means, {})}) == 5
    assert of(mean=torch.zeros(1)) == of(mean=torch.zeros(1))
    assert of(loaded=torch.zeros(1_000_001)) == of(loaded=torch.ones(1_000_001))


def test_attributes_of_data_and_of_images_do_not_hide_one_another():
    def of(factor):
        data, images = DigitsLT(), Twice()
        data.transform, images.transform = Twice(factor), Twice()
        return code_of(SmallCNN(8), [data, images])

    assert of(2) != of(3)


def test_data_that_their_own_attribute_refers_to_are_not_looked_into():
    def of(count):
        data = Halved()
        data.transform, data.other_images = data.to_input, list(range(count))
        return code_of(SmallCNN(8), [data])

    assert of(1) == of(2)


ACTING = """
import torch
from torch.nn import functional as F
from lt_lightning.backbones import Backbone

class Net(Backbone):
    num_features = 64
    def __init__(self, act="relu"):
        super().__init__()
        self.act = F.relu if act == "relu" else torch.tanh

    def forward(self, x):
        return self.act(x.flatten(1))
"""


def test_features_of_another_function_are_extracted_anew(folder, options):
    first = extract(network(folder, ACTING), DigitsLT(), options=options(cache=True)).values
    second = extract(network(folder, ACTING, act="tanh"), DigitsLT(), options=options(cache=True)).values
    assert not torch.equal(first, second)


def test_heads_that_neither_tensors_nor_text_show_count():
    def of(heads):
        return code_of(nn.TransformerEncoderLayer(8, heads, 16))

    assert of(1) == of(1) != of(2)


def test_so_do_those_of_timm():
    pytest.importorskip("timm")

    def of(heads):
        options = {"img_size": 8, "patch_size": 4, "depth": 1, "embed_dim": 16, "num_heads": heads}
        return code_of(TimmBackbone("vit_tiny_patch16_224", options=options))

    assert of(1) == of(1) != of(2)


NETWORKS = """
import hashlib, json, sys, torch
from lt_lightning.backbones import ResNet20, TimmBackbone, TorchvisionBackbone
from lt_lightning.features.code import code_of
torch.set_grad_enabled(False)
names = ("resnet18", "swin_t", "mobilenet_v3_small")
made = [ResNet20, *(lambda name=name: TorchvisionBackbone(name) for name in names)]
if "timm" in sys.argv:
    made += [lambda name=name: TimmBackbone(name) for name in ("vit_tiny_patch16_224", "efficientnet_b0")]
for make in made:
    network = make().eval()
    before = code_of(network)
    network(torch.zeros(1, 3, 224, 224))
    assert code_of(network) == before, network.name
    print(hashlib.sha256(json.dumps(before).encode()).hexdigest())
"""


def test_attributes_are_the_same_after_a_pass_and_in_each_process():
    arguments = [sys.executable, "-c", NETWORKS, *(["timm"] if find_spec("timm") else [])]
    started = [
        subprocess.Popen(
            arguments,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    first, second = (process.communicate()[0].split() for process in started)
    assert first == second
    assert len(first) >= 4


def test_augmentation_counts_where_images_are_augmented():
    data = DigitsLT(augmentation=Mine)
    assert code_alone(SmallCNN(8), [data]) == {}
    assert __name__ in code_of(SmallCNN(8), [data], training=True)


def test_features_of_code_that_has_changed_are_extracted_anew(folder, options, capsys):
    first = extract(network(folder), DigitsLT(), options=options(cache=True)).values
    capsys.readouterr()
    assert torch.equal(extract(network(folder), DigitsLT(), options=options(cache=True)).values, first)
    assert " computed " not in capsys.readouterr().out
    edited = NETWORK.replace("self.lin(x.flatten(1))", "torch.relu(self.lin(x.flatten(1)))")
    second = extract(network(folder, edited), DigitsLT(), options=options(cache=True)).values
    assert " computed " in capsys.readouterr().out
    assert torch.equal(second, first.relu())


def test_installed_packages_are_listed_once_whatever_is_imported(tmp_path, monkeypatch):
    names = [f"part_{number}" for number in range(5)]
    (tmp_path / "parts_of_mine.py").write_text("\n".join(f"{name} = 0" for name in names))
    (tmp_path / "net_of_parts.py").write_text(
        f"from parts_of_mine import {', '.join(names)}\n"
        + NETWORK.replace("import helper_of_net\nfrom helper_of_net import shift\n", "")
    )
    monkeypatch.syspath_prepend(tmp_path)
    listed = []
    monkeypatch.setattr(code.metadata, "packages_distributions", lambda: listed.append(1) or {})
    code._distributions.cache_clear()
    assert "parts_of_mine" in code_of(importlib.import_module("net_of_parts").Net())
    assert len(listed) == 1
    code._distributions.cache_clear()
