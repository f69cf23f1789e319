"""The command as it is typed, on what runs have left."""

import signal
import warnings

import pytest

from lt_lightning import cli
from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.plots import command
from lt_lightning.plots.canvas import save
from lt_lightning.plots.command import _chosen as chosen
from lt_lightning.report import labels, sections


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    """Two short runs of one experiment and, on the first, a comparison."""
    root = tmp_path_factory.mktemp("plots")
    for seed in ("0", "1"):
        options = (f"--trainer.default_root_dir={root}", f"--seed_everything={seed}", "--trainer.max_epochs=2")
        main(tiny("fit", "RepresentationModule", *options, "--trainer.check_val_every_n_epoch=1"))
    checkpoint = sorted(root.rglob("last.ckpt"))[0]
    model = [f"--checkpoint={checkpoint}", "--backbone=SmallCNN", "--backbone.num_features=8", "--data=DigitsLT"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that two epochs have taught nothing
        options = ("--methods=lort,tau_norm", "--views=1", "--oracle=false", f"--output={root}/compared")
        cli.main(["compare", *model, *options])
    return root


def test_training_runs(folder, here, capsys):
    runs = [str(path.parent) for path in folder.rglob("results.json") if "compared" not in path.parts]
    cli.main(["plot", *runs, "--split", "val"])
    shown = capsys.readouterr().out.split()
    assert [word for word in shown if word.startswith("plots/")] == [
        f"plots/{kind}.png" for kind in ("tail", "groups", "logits", "reliability", "curves")
    ]
    assert all((here / word).stat().st_size > 10_000 for word in shown if word.startswith("plots/"))


def test_fonts_that_are_missing_are_not_named_at_every_word(folder, here, monkeypatch, caplog):
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.setitem(matplotlib.rcParams, "font.family", ["No Such Font"])
    cli.main(["plot", str(folder), "--kinds=tail", "--split=val"])
    assert "findfont" not in caplog.text


def test_curves_need_no_figures_of_test_images(folder, here, capsys):
    runs = [str(path.parent) for path in folder.rglob("results.json") if "compared" not in path.parts]
    cli.main(["plot", *runs])
    said = capsys.readouterr()
    assert said.out.split() == ["written", "to", "plots/curves.png"]
    assert "2 runs without figures of the test images are left out, but for curves; try `--split val`." in said.err
    cli.main(["plot", *runs, f"{folder}/compared", "--output=mixed", "--kinds=curves,tail"])
    assert [path.name for path in sorted((here / "mixed").iterdir())] == ["curves.png", "tail.png"]
    with pytest.raises(SystemExit):
        cli.main(["plot", *runs, "--kinds=tail"])
    assert "2 of them of the validation images; add `--split val`" in capsys.readouterr().err


def test_a_comparison(folder, here, capsys):
    cli.main(["plot", f"{folder}/compared", "--output=figures", "--format=svg", "--kinds=tail,grid,curves"])
    assert sorted(path.name for path in (here / "figures").iterdir()) == ["grid.svg", "tail.svg"]
    before = (here / "figures/tail.svg").read_bytes()
    again = ["plot", f"{folder}/compared", "--output=figures", "--format=svg", "--kinds=tail", "--methods=tau_norm"]
    with pytest.raises(SystemExit):
        cli.main(again)
    assert "`--output` figures/tail.svg exists; give another folder, or `--overwrite true`." in capsys.readouterr().err
    assert (here / "figures/tail.svg").read_bytes() == before
    cli.main([*again, "--overwrite", "true"])
    assert (here / "figures/tail.svg").read_bytes() != before


def test_rows_are_chosen_by_any_of_their_names(made_row):
    compared = [made_row(method=name) for name in ("stage 1", "lort")]
    fits = [made_row(method=f"LinearHead + {loss}", preset=preset) for loss in "AB" for preset in ("one", "two")]
    rows = [*compared, *fits]
    assert chosen(rows, "lort , stage 1,lort") == [rows[1], rows[0]]
    assert chosen(rows, "compare: lort") == [rows[1]]
    assert chosen(rows, "LinearHead + B,LinearHead + A") == [rows[4], rows[5], rows[2], rows[3]]
    assert chosen(rows, "two: LinearHead + A,lort") == [rows[3], rows[1]]
    with pytest.raises(UsageError, match=r"no row is called 'LinearHead'; did you mean LinearHead \+ "):
        chosen(rows, "LinearHead")


def test_rows_are_chosen_by_the_label_that_their_figure_shows(made_row):
    rows = [made_row(method="lort"), made_row(method="lort", data="other", preset="fit")]
    assert labels(rows) == ["compare: lort", "fit: lort"]
    assert [labels(members) for members in sections(rows).values()] == [["lort"], ["lort"]]
    rows = [made_row(method="lort", settings=settings) for settings in "ab"] + [rows[1]]
    assert chosen(rows, "lort [b]") == [rows[1]]
    assert chosen(rows, "compare: lort [b]") == [rows[1]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--kinds=tails"], "`--kinds`: no kind is called 'tails'; did you mean tail?"),
        (["--kinds=,"], "`--kinds` ',' must name some of"),
        (["--methods=lortt"], "`--methods`: no row is called 'lortt'; did you mean lort?"),
        (["--methods=xyz"], "`--methods`: no row is called 'xyz'; there are stage 1, lort, tau_norm"),
        (["--kinds=curves"], "`--kinds` curves: these runs have left nothing that such a figure would show."),
    ],
)
def test_bad_input_is_one_sentence(options, sentence, folder, here, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["plot", f"{folder}/compared", *options])
    assert stop.value.code == 2
    assert sentence in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_an_interrupted_command_says_how_to_go_on(folder, here, capsys, monkeypatch):
    def second_stops(figure, path, overwrite):
        if path.name == "grid.svg":
            signal.raise_signal(signal.SIGTERM)
        save(figure, path, overwrite)

    monkeypatch.setattr(command, "save", second_stops)
    words = ["plot", f"{folder}/compared", "--format=svg", "--kinds=tail,grid"]
    with pytest.raises(SystemExit):
        cli.main(words)
    sentence = "Interrupted: plots/tail.svg had been written; run the command again with `--overwrite true`.\n"
    assert capsys.readouterr().err.endswith(sentence)
    monkeypatch.setattr(command, "save", save)
    cli.main([*words, "--overwrite=true"])
    assert sorted(path.name for path in (here / "plots").iterdir()) == ["grid.svg", "tail.svg"]
