"""`hat init`: a recipe for one's own text, that runs."""

import io
from pathlib import Path

import pytest
import yaml

from hat.data.builtin import write_builtin
from hat.data.settings import BuiltinSizes
from hat.pipeline import load_recipe
from hat.recipe.budget import FEWEST_UPDATES, SCALES, plan
from hat.recipe.text_survey import Survey
from tests.cli.conftest import Hat

FAST, SLOW = 1e12, 1e9  # multiply-accumulates a second
TEXT = ("--source", "text.en", "--target", "text.de")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with text, on a machine of a known speed without a terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("hat.recipe.first_recipe.measured_speed", lambda: SLOW)
    write_builtin(tmp_path / "grammar", BuiltinSizes(train=600, valid=60, test=60), seed=1)
    for language in ("en", "de"):
        (tmp_path / f"text.{language}").write_text((tmp_path / "grammar" / f"train.{language}").read_text())
    return tmp_path


def test_the_recipe_runs(hat: Hat, folder: Path) -> None:
    result = hat("init", "mine.yaml", *TEXT, "--minutes", 5, "--latency", "50%", "--device", "this")
    assert result.code == 0, result.err
    assert result.out.endswith("mine.yaml is written; start it with\n    hat run mine.yaml\n")
    recipe = load_recipe("mine.yaml")
    assert (recipe.data.source_language, recipe.data.target_language) == ("en", "de")
    assert recipe.search.constraints == ["50%"]
    assert recipe.device.name == "local"
    assert hat("prepare", "mine.yaml").code == 0
    assert (folder / "runs" / "mine" / "run.json").is_file()


def test_odd_names_are_written_so_that_they_are_read_and_shown_so_that_nothing_obeys(
    hat: Hat, folder: Path
) -> None:
    odd = folder / "a[\x1b[31m\x7f\u2028\u202e"
    odd.mkdir()
    for language in ("en", "de"):
        (folder / f"text.{language}").rename(odd / f"text.{language}")
    result = hat("init", odd / "r.yaml", "--source", odd / "text.en", "--target", odd / "text.de")
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert "\u202e" not in result.out
    assert hat("prepare", odd / "r.yaml").code == 0


def test_a_sentence_that_is_set_aside_is_in_no_other_set(hat: Hat, folder: Path) -> None:
    assert hat("init", *TEXT).code == 0
    sets = {
        name: (folder / "my-text" / f"{name}.en").read_text().splitlines()
        for name in ("train", "valid", "test")
    }
    assert sum(map(len, sets.values())) == 600
    assert len(sets["valid"]) > 5
    assert len(sets["test"]) > 5
    assert not set(sets["train"]) & {*sets["valid"], *sets["test"]}
    assert not set(sets["valid"]) & set(sets["test"])
    pairs = set(
        zip(*((folder / f"text.{code}").read_text().splitlines() for code in ("en", "de")), strict=True)
    )
    kept = zip(
        *((folder / "my-text" / f"test.{code}").read_text().splitlines() for code in ("en", "de")),
        strict=True,
    )
    assert set(kept) <= pairs
    # What is left can be divided again.
    again = "--source", "my-text/train.en", "--target", "my-text/train.de"
    assert hat("init", "again.yaml", *again).code == 0
    assert (folder / "again-text" / "test.en").read_text()


def test_own_validation_and_test_text_stay_where_they_are(hat: Hat, folder: Path) -> None:
    own = [
        word
        for name, language, side in (
            (name, language, side)
            for name in ("valid", "test")
            for language, side in (("en", "source"), ("de", "target"))
        )
        for word in (f"--{name}-{side}", folder / "grammar" / f"{name}.{language}")
    ]
    assert hat("init", *TEXT, *own).code == 0
    data = yaml.safe_load((folder / "my.yaml").read_text())["data"]
    assert data["test"] == {"source": "grammar/test.en", "target": "grammar/test.de"}
    assert data["train"] == {"source": "text.en", "target": "text.de"}
    assert not (folder / "my-text").exists()


def test_one_file_with_both_languages(hat: Hat, folder: Path) -> None:
    lines = zip(*((folder / f"text.{code}").read_text().splitlines() for code in ("en", "de")), strict=True)
    (folder / "text.tsv").write_text("".join("\t".join(pair) + "\n" for pair in lines))
    assert hat("init", "--tsv", "text.tsv", "--source-lang", "en", "--target-lang", "de").code == 0
    assert load_recipe("my.yaml").data.train is not None


class Terminal(io.StringIO):
    """Answers, typed on a terminal."""

    def isatty(self) -> bool:
        return True


def test_missing_options_are_asked_for_on_a_terminal(
    hat: Hat, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("text.en\ntext.de\n\nnds\n10\n\n\n"))
    result = hat("init")
    assert result.code == 0, result.err
    recipe = load_recipe("my.yaml")
    assert (recipe.data.source_language, recipe.data.target_language) == ("en", "nds")
    assert recipe.search.constraints == ["60%"]
    assert "10 minutes" in (folder / "my.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no terminal to ask on; give --source, --target, --source-lang, --target-lang (or --tsv)"),
        (("--tsv", "text.tsv"), "give --source-lang, --target-lang"),
        (("--source", "text.en"), "give --target, --target-lang (or --tsv)"),
        (("--tsv", "text.tsv", "--source", "text.en"), "--tsv holds both languages"),
        (
            (*TEXT, "--latency", "fast"),
            "--latency: 'fast' is not a limit on latency; write it like 60ms, or 60%",
        ),
        ((*TEXT, "--latency", "100%"), "--latency 100%: must be below 100 %"),
        ((*TEXT, "--minutes", 0), "--minutes 0: must be at least 1"),
        ((*TEXT, "--minutes", "nan"), "--minutes nan: must be at least 1, and finite"),
        ((*TEXT, "--minutes", "inf"), "--minutes inf: must be at least 1, and finite"),
        ((*TEXT, "--source-lang", "../en"), "--source-lang '../en': not the code of a language"),
        ((*TEXT, "--target-lang", ""), "--target-lang '': not the code of a language"),
        (("--source", "text.en", "--target", "text.en"), "source and target are the same file"),
        ((*TEXT, "--device", "pi"), "no device is called pi; the known ones are local"),
        ((*TEXT, "--valid-source", "text.en"), "--valid-source and --valid-target: give both, or neither"),
        (
            ("--source", "text.en", "--target", "grammar/test.de"),
            "text.en has 600 lines and grammar/test.de has 60",
        ),
        (("--source", "no.en", "--target", "text.de"), "no.en: cannot be read"),
        (
            ("--source", "grammar/test.en", "--target", "grammar/test.de"),
            "60 sentence pairs with text on both sides",
        ),
        (("text.en", *TEXT), "text.en: exists already; name another file, or --force"),
    ],
)
def test_mistakes_leave_nothing(hat: Hat, folder: Path, arguments: tuple[object, ...], message: str) -> None:
    before = sorted(folder.rglob("*"))
    result = hat("init", *arguments)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert sorted(folder.rglob("*")) == before


def test_other_files_are_not_written_over(hat: Hat, folder: Path) -> None:
    (folder / "my-text").mkdir()
    (folder / "my-text" / "diary").write_text("dear")
    assert "my-text: holds other files, such as diary" in hat("init", *TEXT).err
    assert [path.name for path in (folder / "my-text").iterdir()] == ["diary"]
    assert hat("init", "other.yaml", *TEXT).code == 0
    assert hat("init", "other.yaml", *TEXT, "--force", "--minutes", 60).code == 0


@pytest.mark.parametrize("content", ["dear diary\n", "devices: {}\n", "a: [\n", "- data\n", ""])
def test_only_a_recipe_is_replaced_with_force(hat: Hat, folder: Path, content: str) -> None:
    (folder / "mine.yaml").write_text(content)
    found = hat("init", "mine.yaml", *TEXT, "--force")
    told = "mine.yaml: exists and is not a recipe; choose another name, or remove it first"
    assert (found.code, told in found.err) == (2, True)
    assert (folder / "mine.yaml").read_text() == content
    assert hat("init", "text.en", *TEXT, "--force").code == 2, "nor the text itself"


def test_the_text_that_is_named_is_never_written_over(hat: Hat, folder: Path) -> None:
    assert hat("init", *TEXT).code == 0
    kept = ("--source", "my-text/train.en", "--target", "my-text/train.de")
    before = (folder / "my-text" / "train.en").read_bytes()
    assert "my-text/train.en: `hat init my.yaml` would write over it" in hat("init", *kept, "--force").err
    assert (folder / "my-text" / "train.en").read_bytes() == before
    assert hat("init", "other.yaml", *kept).code == 0


def test_both_sides_may_be_of_one_language(hat: Hat, folder: Path) -> None:
    assert hat("init", *TEXT, "--target-lang", "en").code == 0
    recipe = load_recipe("my.yaml")
    assert recipe.data.source_language == recipe.data.target_language == "en"
    assert (folder / "my-text" / "train.source.en").read_text() != (
        folder / "my-text" / "train.target.en"
    ).read_text()


def test_more_time_and_more_text_give_larger_networks() -> None:
    small, middle = Survey(5_000, 10, 8_000, 60), Survey(200_000, 12, 60_000, 90)
    assert plan(small, 600, FAST).scale.space == "demo"
    assert plan(middle, 5, SLOW).scale.space == "demo"
    spaces = [plan(middle, minutes, FAST).scale.space for minutes in (1, 10, 6000)]
    order = [scale.space for scale in SCALES]
    assert spaces == sorted(spaces, key=order.index)
    assert len(set(spaces)) == 3
    assert plan(small, 30, FAST).vocabulary < plan(middle, 30, FAST).vocabulary
    assert plan(Survey(5_000, 10, 700, 60), 30, FAST).vocabulary == 700
    short = plan(middle, 1, SLOW)
    assert short.too_short
    assert short.super_updates == FEWEST_UPDATES
    assert not plan(small, 30, FAST).too_short
