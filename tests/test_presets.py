"""Presets are found by name, a wrong name says which are close, and they lie on top of each other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import pipeline, presets
from lt_lightning.errors import UsageError
from lt_lightning.main import main


def test_every_preset_resolves_to_yaml_and_back():
    names = presets.names()
    assert {"quickstart", "cifar100_lt/lort", "cifar100_lt/stage1/ce", "cifar100_lt/pipeline_lort"} <= set(names)
    for name in names:
        path = presets.resolve(name)
        assert isinstance(yaml.safe_load(Path(path).read_text()), dict)
        assert presets.name_of(path) == name
        assert presets.STACK not in presets.load(name)


def test_a_file_wins_over_a_preset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("seed_everything: 1")
    assert presets.resolve("quickstart") == "quickstart"
    assert presets.name_of("quickstart") == "quickstart"


def test_unknown_preset_names_close_ones():
    with pytest.raises(
        UsageError, match=r"'cifar100_lt/lrt' is neither a file nor a preset; did you mean cifar100_lt/lort"
    ):
        presets.resolve("cifar100_lt/lrt")
    with pytest.raises(UsageError, match=r"known presets: .*quickstart"):
        presets.resolve("zzzzzz")
    with pytest.raises(
        UsageError, match=r"did you mean (?=.*cifar100_lt/lort)[\w/]+/lort or [\w/]+/lort or [\w/]+/lort\?$"
    ):
        presets.resolve("LORT")
    with pytest.raises(UsageError, match=r"did you mean quickstart\?$"):
        presets.resolve("configs/quickstart")
    with pytest.raises(UsageError, match=r"`--config` 'mine.yaml' is not a file"):
        presets.resolve("mine.yaml")


def test_a_folder_of_presets_lists_what_is_in_it():
    with pytest.raises(UsageError, match=r"'cifar100_lt' .*; in that folder are .*crt, .*lort, .*stage1/, .*tau_norm"):
        presets.resolve("cifar100_lt")
    with pytest.raises(
        UsageError, match=r"known presets: quickstart and those in .*cifar100_lt, .*mnist/stage1"
    ) as found:
        presets.resolve("zzzzzz")
    assert "cifar100_lt/" not in str(found.value).replace("cifar100_lt/stage1", "")  # more than a hundred of them


def test_a_run_is_called_after_its_last_preset(tmp_path):
    lort = presets.resolve("cifar100_lt/lort")
    mine = str(tmp_path / "mine.yaml")
    assert presets.name_among([lort, mine], "model") == "cifar100_lt/lort"
    assert presets.name_among([mine], "model") == "mine"
    assert presets.name_among([], "model") == "model"


def test_a_run_that_is_done_again_keeps_its_name(tmp_path):
    config, results = tmp_path / "config.yaml", tmp_path / "results.json"
    assert presets.name_of(str(config)) == "config"
    for content in ("no json", "[]", '{"rows": {}}', '{"preset": 1}'):
        results.write_text(content)
        assert presets.name_of(str(config)) == "config"
    results.write_text('{"preset": "cifar100_lt/lort"}')
    assert presets.name_of(str(config)) == "cifar100_lt/lort"
    assert presets.name_of(str(tmp_path / "mine.yaml")) == "mine"


# -- stacking ----------------------------------------------------------------------------------------------------------


def write(folder, **files):
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("below", "above", "merged"),
    [
        ({"a": 1, "b": {"c": 2}}, {"b": {"d": 3}}, {"a": 1, "b": {"c": 2, "d": 3}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": [1]}, {"a+": [2]}, {"a": [1, 2]}),
        ({"a+": [1]}, {"a+": [2]}, {"a+": [1, 2]}),
        ({"a+": [1]}, {"a": [2]}, {"a": [2]}),
        ({}, {"a+": [2]}, {"a+": [2]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        # Another class has other arguments; the same one keeps what is not set again.
        (
            {"loss": {"class_path": "A", "init_args": {"x": 1}}},
            {"loss": {"class_path": "B", "init_args": {"y": 2}}},
            {"loss": {"class_path": "B", "init_args": {"y": 2}}},
        ),
        (
            {"loss": {"class_path": "A", "init_args": {"x": 1}}},
            {"loss": {"class_path": "A", "init_args": {"y": 2}}},
            {"loss": {"class_path": "A", "init_args": {"x": 1, "y": 2}}},
        ),
        (
            {"loss": {"init_args": {"x": 1}}},
            {"loss": {"class_path": "A"}},
            {"loss": {"class_path": "A", "init_args": {"x": 1}}},
        ),
        ({"loss": {"class_path": "A", "init_args": {"x": 1}}}, {"loss": "A"}, {"loss": "A"}),
        ({"loss": "A"}, {"loss": {"init_args": {"x": 1}}}, {"loss": {"class_path": "A", "init_args": {"x": 1}}}),
    ],
)
def test_rules_of_merging(below, above, merged):
    before = json.dumps([below, above])
    assert presets.merge(below, above) == merged
    assert json.dumps([below, above]) == before


TREES = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


@given(TREES, TREES)
@settings(max_examples=50)
def test_merging_keeps_what_is_on_top_and_changes_nothing_twice(a, b):
    merge = presets.merge
    assert merge({}, a) == merge(a, {}) == merge(a, a) == a
    assert merge(merge(a, b), b) == merge(a, b)
    assert set(merge(a, b)) == set(a) | set(b)
    assert all(merge(a, b)[key] == b[key] for key in b if not isinstance(b[key], dict))
    assert all(merge(a, b)[key] == a[key] for key in set(a) - set(b))


def test_files_stack_presets_and_files_beside_them(tmp_path, monkeypatch):
    write(
        tmp_path,
        mine={"stack": ["cifar100_lt/lort", "more.yaml"], "trainer": {"max_epochs": 3}},
        more={"trainer": {"max_epochs": 2, "precision": "64-true"}, "data": {"init_args": {"imbalance_ratio": 10}}},
    )
    monkeypatch.chdir("/")
    found = presets.load(str(tmp_path / "mine.yaml"))
    lort = presets.load("cifar100_lt/lort")
    assert found["trainer"] == {**lort["trainer"], "max_epochs": 3, "precision": "64-true"}
    assert found["data"]["init_args"] == {**lort["data"]["init_args"], "imbalance_ratio": 10}
    assert found["model"] == lort["model"]


def test_stack_may_be_one_name_and_stand_below_a_key_but_not_among_arguments(tmp_path):
    write(
        tmp_path,
        mine={"stage": {"stack": "part.yaml", "b": 2}, "data": {"init_args": {"stack": 4}}},
        part={"a": 1, "b": 1},
    )
    assert presets.load(str(tmp_path / "mine.yaml")) == {
        "stage": {"a": 1, "b": 2},
        "data": {"init_args": {"stack": 4}},
    }


def test_fragments_are_no_presets_but_can_be_stacked_and_typed():
    assert not [name for name in presets.names() if name.startswith("shared")]
    assert "data" in presets.load("shared/data/cifar100_lt")
    assert presets.name_of(presets.resolve("shared/data/cifar100_lt")) == "shared/data/cifar100_lt"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"mine": {"stack": ["cifar100_lt/lrt"]}},
            r"'.*mine\.yaml' names 'cifar100_lt/lrt', which is no preset; did you",
        ),
        ({"mine": {"stack": ["shared/methods/lrt"]}}, r"did you mean .*shared/methods/lort"),
        ({"mine": {"stack": ["gone.yaml"]}}, r"names 'gone\.yaml', which is not a file in '.+'\.$"),
        ({"mine": {"stack": 3}}, r"must be a list of presets or YAML files, but is 3"),
        ({"mine": {"stack": [["a"]]}}, r"must be a list of presets or YAML files, but is \[\['a'\]\]"),
        ({"mine": {"stack": "list.yaml"}, "list": "[1, 2]"}, r"'list\.yaml', which holds no settings but \[1, 2\]"),
        ({"mine": {"stack": "bad.yaml"}, "bad": "a: [unclosed"}, r"bad\.yaml' is not valid YAML"),
        ({"mine": {"stack": "mine.yaml"}}, r"goes in a circle: '.*mine\.yaml' > '.*mine\.yaml'; take one"),
        (
            {"mine": {"a": {"stack": "b.yaml"}}, "b": {"stack": ["mine.yaml"]}},
            r"circle: .*mine.* > .*b\.yaml' > .*mine",
        ),
    ],
)
@pytest.mark.parametrize("command", ["fit", "pipeline"])
def test_mistakes_in_a_stack_are_one_sentence(tmp_path, files, sentence, command):
    write(tmp_path, **files)
    run = main if command == "fit" else pipeline.main
    with pytest.raises(UsageError, match=sentence) as refused:
        run([command, "-c", str(tmp_path / "mine.yaml")])
    assert "\n" not in str(refused.value)


def test_a_fragment_may_be_stacked_twice(tmp_path):
    write(tmp_path, mine={"stack": ["a.yaml", "b.yaml"]}, a={"stack": "c.yaml"}, b={"stack": "c.yaml"}, c={"x": 1})
    assert presets.load(str(tmp_path / "mine.yaml")) == {"x": 1}


def shown(capsys, run, *arguments):
    with pytest.raises(SystemExit) as stop:
        run([*arguments, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_files_and_options_come_over_a_stacked_preset(tmp_path, capsys):
    write(tmp_path, over={"data": {"init_args": {"imbalance_ratio": 50}}, "trainer": {"max_epochs": 7}})
    typed = ("fit", "-c", "cifar100_lt/lort", "-c", str(tmp_path / "over.yaml"), "--model.loss.delta=0.9")
    config = shown(capsys, main, *typed, "--model.checkpoint=x", "--trainer.max_epochs=8")
    assert config["model"]["init_args"]["loss"]["init_args"]["delta"] == 0.9
    assert config["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 5e-4
    assert config["data"]["init_args"]["imbalance_ratio"] == 50
    assert config["trainer"]["max_epochs"] == 8
    assert "stack" not in config


def test_what_is_printed_of_a_stack_can_be_run_again(tmp_path, capsys):
    first = shown(capsys, main, "fit", "-c", "cifar10_lt/stage1/ldam_drw")
    assert [entry["class_path"].rpartition(".")[2] for entry in first["trainer"]["callbacks"]] == [
        "LinearWarmup",
        "DRW",
    ]
    write(tmp_path, printed=first)
    assert shown(capsys, main, "fit", "-c", str(tmp_path / "printed.yaml")) == first
    plan = shown(capsys, pipeline.main, "pipeline", "-c", "cifar100_lt/pipeline_lort")
    assert plan["stage2"]["lort"]["model"]["init_args"]["loss"]["init_args"]["delta"] == 0.98
    write(tmp_path, plan=plan)
    assert shown(capsys, pipeline.main, "pipeline", "-c", str(tmp_path / "plan.yaml")) == plan


def test_a_wrong_key_of_a_stacked_preset_is_named(tmp_path):
    write(tmp_path, mine={"stack": "cifar100_lt/lort", "model": {"init_args": {"los": "LORTLoss"}}})
    with pytest.raises(UsageError, match=r"^`model.los` is no option of RetrainModule \(did you mean .*loss.*\?\)"):
        main(["fit", "-c", str(tmp_path / "mine.yaml"), "--model.checkpoint=x"])
    with pytest.raises(UsageError, match=r"delt"):
        main(["fit", "-c", "cifar100_lt/lort", "--model.checkpoint=x", "--model.loss.delt=1"])


def test_names_need_the_standard_library_alone():
    code = "import sys; from lt_lightning import presets; presets.names(); print({'yaml', 'torch'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "set()"
