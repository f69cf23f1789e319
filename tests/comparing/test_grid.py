"""Grids: keys, values, defaults, products."""

import pytest

from lt_lightning.comparing.grid import LR_FACTORS, default_grid, points, read_grid
from lt_lightning.comparing.methods import built_in_methods, find_methods
from lt_lightning.comparing.record import record
from lt_lightning.comparing.settings import Settings, SettingsParser
from lt_lightning.errors import UsageError

PARSER = SettingsParser()
COUNTS = [30, 12, 5]


def made(methods, grid, default=True):
    found = points(find_methods(methods, COUNTS, PARSER), read_grid(grid), PARSER, default)
    return {name: [point.values for point in tried] for name, tried in found.items()}


def test_values():
    grid = read_grid({"lr": "1e-4,1", "loss": {"kind": "softmax,focal"}, "centre": "true", "delta": [0.9, "0.98"]})
    assert grid == {"lr": [1e-4, 1], "loss.kind": ["softmax", "focal"], "centre": [True], "delta": [0.9, 0.98]}


@pytest.mark.parametrize("grid", [{"lr": ""}, {"lr": []}])
def test_no_value(grid):
    with pytest.raises(UsageError, match=r"^`grid.lr` has no value; give some, such as 0\.1,1\.$"):
        read_grid(grid)


def test_twice_the_same_value():
    with pytest.raises(UsageError, match=r"`grid.lr` has a value twice: 0.1, 0.1"):
        read_grid({"lr": "0.1,1e-1"})


def test_every_method_has_as_many_points_by_default():
    found = made("all", {})
    assert set(found) == set(built_in_methods())
    assert found.pop("ncm")[0] == {"metric": "cosine", "centre": False}  # it has no number, and four settings in all
    bounded = [found.pop("max_norm"), found.pop("ltwb")]
    assert {len(tried) for tried in bounded} == {2 * len(LR_FACTORS)}  # two radii besides
    assert {len(tried) for tried in found.values()} == {len(LR_FACTORS)}
    assert found["lort"][:3] == [{"lr": 5e-4}, {"lr": 1.5e-6}, {"lr": 5e-6}]
    assert sorted(point["tau"] for point in found["tau_norm"]) == [0.25 * step for step in range(1, 9)]


def tried_of(tmp_path, head):
    path = tmp_path / "mine.yaml"
    path.write_text(f"head: {head}\n")
    return made(str(path), {})["mine"]


@pytest.mark.parametrize("head", ["TauNormHead", "LogitAdjustmentHead"])
def test_a_strength_of_ones_own_is_tried_before_the_others(tmp_path, head):
    usual = [1.0, 0.25, 0.5, 0.75, 1.25, 1.5, 1.75, 2.0]
    assert [point["tau"] for point in tried_of(tmp_path, head)] == usual
    assert [p["tau"] for p in tried_of(tmp_path, f"{{class_path: {head}, init_args: {{tau: 4}}}}")] == [4.0, *usual]
    half = tried_of(tmp_path, f"{{class_path: {head}, init_args: {{tau: 0.5}}}}")
    assert [point["tau"] for point in half] == [0.5, 1.0, 0.25, 0.75, 1.25, 1.5, 1.75, 2.0]
    assert default_grid()["default"]["tau"] == usual


def test_a_radius_that_is_measured_is_tried_in_two_widths(tmp_path):
    tried = tried_of(tmp_path, "{class_path: MaxNormHead, init_args: {threshold: 0.2}}")
    assert tried[0] == {"lr": 0.01, "threshold": 0.2}  # its own wins ties
    assert {point["threshold"] for point in tried} == {0.2, 0.1, 0.4}
    given = tried_of(tmp_path, "{class_path: MaxNormHead, init_args: {radius: 0.5}}")
    assert len(given) == len(LR_FACTORS)
    assert {tuple(point) for point in given} == {("lr",)}


def test_a_metric_of_ones_own_is_tried_before_the_others(tmp_path):
    head = "{class_path: NCMHead, init_args: {metric: euclidean, centre: true}}"
    assert [tuple(point.values()) for point in tried_of(tmp_path, head)] == [
        ("euclidean", True),
        ("euclidean", False),
        ("cosine", True),
        ("cosine", False),
    ]


def test_a_loss_of_ones_own_may_have_a_threshold_too(tmp_path, monkeypatch):
    (tmp_path / "own_threshold.py").write_text(
        "from lt_lightning.losses import CrossEntropyLoss\n"
        "class Gated(CrossEntropyLoss):\n"
        "    def __init__(self, class_counts: list[int], threshold: float = 0.9) -> None:\n"
        "        super().__init__(class_counts)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text("head: MaxNormHead\nloss: own_threshold.Gated\n")
    assert made(str(path), {})["mine"][:2] == [
        {"lr": 0.01, "head.threshold": 0.1},
        {"lr": 0.01, "head.threshold": 0.4},
    ]


@pytest.fixture
def own_heads(tmp_path, monkeypatch):
    (tmp_path / "own_taus.py").write_text(
        "from lt_lightning.heads import LinearHead, TauNormHead\n"
        "class Counted(TauNormHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], tau: int = 1) -> None:\n"
        "        super().__init__(in_features, class_counts, tau)\n"
        "class Narrow(TauNormHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], tau: float = 0.07) -> None:\n"
        "        super().__init__(in_features, class_counts, tau)\n"
        "        if not 0 < tau <= 1:\n"
        "            raise ValueError('tau must lie in (0, 1]')\n"
        "class Rated(LinearHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], lr: float = 2, tau: float = 1) -> None:\n"
        "        super().__init__(in_features, class_counts)\n"
        "        self.lr = lr\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_a_head_of_ones_own_that_trains_nothing_runs_once(own_heads):
    """What it calls ``tau`` may be of another type, or range."""
    assert made("own_taus.Counted,own_taus.Narrow", {}) == {"Counted": [{}], "Narrow": [{}]}
    assert made("own_taus.Narrow", {"tau": "0.1,0.2"}) == {"Narrow": [{"tau": 0.1}, {"tau": 0.2}]}


def test_the_default_rates_are_the_optimizers(own_heads):
    assert made("own_taus.Rated", {})["Rated"][:2] == [{"optimizer.lr": 0.01}, {"optimizer.lr": 3e-5}]


def test_a_configuration_without_an_optimizer_varies_that_of_fit(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("model: {class_path: RetrainModule, init_args: {loss: FocalLoss}}")
    assert made(str(path), {})["mine"][:2] == [{"lr": 5e-4}, {"lr": 1.5e-6}]
    assert made(str(path), {"lr": "0.1"})["mine"] == [{"lr": 0.1}]
    (method,) = find_methods(str(path), COUNTS, PARSER)
    settings = PARSER.make(method.plain, "mine")
    (ours, _), (theirs, _) = (each.training(*each.parts(4, COUNTS)) for each in (settings, Settings()))
    assert ours.defaults == theirs.defaults


@pytest.mark.parametrize(
    ("named", "key", "value"), [("loss: LORTLoss", "reset", True), ("head: CosineHead", "label_smoothing", 0.1)]
)
def test_a_configuration_without_a_head_or_a_loss_varies_that_of_fit(tmp_path, named, key, value):
    path = tmp_path / "mine.yaml"
    path.write_text(f"model: {{class_path: RetrainModule, init_args: {{{named}}}}}")
    (point,) = points(find_methods(str(path), COUNTS, PARSER), {key: [value]}, PARSER, True)["mine"]
    part = "head" if key == "reset" else "loss"
    assert PARSER.arguments(point.method.plain, "mine")[part][key] == value
    PARSER.make(point.method.plain, "mine").parts(4, COUNTS)


def test_products_of_the_keys_that_a_method_has():
    found = made("lort,linear,tau_norm", {"lr": "1e-4,1e-3", "delta": "0.9,0.98"})
    assert found["lort"][1] == {"lr": 1e-4, "delta": 0.98}
    assert [len(tried) for tried in found.values()] == [4, 2, 1]
    (point,) = points(find_methods("lort", COUNTS, PARSER), {"delta": [0.5]}, PARSER, True)["lort"]
    assert point.method.plain["loss"]["init_args"] == {"delta": 0.5}
    assert point.method.plain["optimizer"]["init_args"]["lr"] == 5e-4


def test_own_settings_are_one_point():
    assert made("lort,ncm", {}, default=False) == {"lort": [{}], "ncm": [{}]}


def test_a_key_of_loss_and_head_needs_the_part():
    with pytest.raises(UsageError, match=r"`grid.scale` may be the loss's or the head's; say `grid.loss.scale`"):
        made("ldam_cosine", {"scale": "10"})
    assert made("ldam_cosine", {"loss.scale": "10,20"}) == {"ldam_cosine": [{"loss.scale": 10}, {"loss.scale": 20}]}


def test_one_setting_under_two_keys():
    with pytest.raises(UsageError, match=r"^`grid.delta` and `grid.loss.delta` are the same setting of `lort`; leave"):
        made("linear,lort", {"delta": "0.5,0.9", "loss.delta": "0.2,0.3"})
    both = made("ldam_cosine", {"loss.scale": "10", "head.scale": "20"})
    assert both == {"ldam_cosine": [{"loss.scale": 10, "head.scale": 20}]}


def test_the_same_key_may_be_another_methods():
    """What two parts of one method have goes by the part's name there, and by its own where one part has it."""
    found = made("ldam_cosine,cosine", {"loss.scale": "10", "scale": "20"})
    assert found == {"ldam_cosine": [{"loss.scale": 10}], "cosine": [{"scale": 20}]}


def test_a_key_that_no_method_has():
    with pytest.raises(
        UsageError, match=r"^`grid.learning_rate` is not a setting of any of lort, ncm; did you mean lr\?$"
    ):
        made("lort,ncm", {"learning_rate": "1"})
    with pytest.raises(UsageError, match=r"`grid.delta` is not a setting of `linear`; "):
        made("linear", {"delta": "0.9"})


@pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning",
    "ignore:No method is better:UserWarning",
    "ignore:Nothing is selected:UserWarning",
    "ignore:.* classes with validation images have fewer:UserWarning",
)
def test_a_record_says_what_was_tried_by_default(run, make_data):
    found = record(run("ncm"))
    assert found["grid"] == default_grid()
    assert found["grid"]["default"]["lr"] == list(LR_FACTORS)
    assert set(found["grid"]["default"]) == {"lr", "threshold", "tau", "metric", "centre"}
    assert [one["point"] for one in found["rows"]["ncm"]["validation"]] == [
        {"metric": metric, "centre": centre}
        for metric in found["grid"]["default"]["metric"]
        for centre in found["grid"]["default"]["centre"]
    ]
    assert record(run("ncm", data=make_data(val_from="none")))["grid"] == "own settings"
    assert record(run("ncm", {"metric": ["cosine"]}))["grid"] == {"metric": ["cosine"]}
