"""A setting that is refused leaves a run as it was, whichever stage refuses it and whenever."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from hat.errors import DiskFull, HatError, UserError
from hat.pipeline import load_recipe, open_run, recipe_as_written, run
from hat.pipeline.acceptance import ACCEPTED_FILE, trying
from hat.pipeline.stages import STAGES
from hat.progress import Progress
from hat.recipe.recipe import Recipe
from tests.pipeline.tiny import TINY, Recorder, flops_timer

EARLY = ("prepare", "train-super", "measure", "fit")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run before its search. Tests that change it copy it."""
    root = tmp_path_factory.mktemp("runs")
    recipe = root / "tiny.yaml"
    recipe.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    run(load_recipe(str(recipe)), root / "tiny", stages=EARLY, timer=flops_timer)
    return root / "tiny"


@pytest.fixture
def root(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "run"))


def go_on(
    root: Path, *overrides: str, stages: tuple[str, ...] = EARLY, reporter: Recorder | None = None
) -> None:
    recipe, folder = open_run(str(root), None, overrides)
    run(recipe, folder, stages=stages, timer=flops_timer, reporter=reporter or Recorder())


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def test_every_section_of_a_recipe_is_accepted_by_one_stage() -> None:
    counted = Counter(name for stage in STAGES.values() for name in stage.sections)
    assert counted == Counter(list(Recipe.model_fields))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("device.name=pi", "no device is called pi"),
        ("device.file=none.yaml", "none.yaml"),
        ("device.latencies=none.csv", "none.csv: cannot be read"),
        ("device.latencies=bad.csv", "bad.csv:1: unknown column"),
        ("device.engine=warp", "no engine is called"),
        ("distillation={teacher: ./nowhere}", "nowhere/config.json: cannot be read"),
        ("data={corpus: files, train: {tsv: a}, valid: {tsv: b}, test: {tsv: c}}", "a: cannot be read"),
        ("space=nowhere", "nowhere"),
        # Texts for YAML, from which a number is read that no recipe may hold.
        ("super_training.learning_rate=1e999", "learning_rate: Input should be a finite number"),
        ("measure.target=1e999", "target: Input should be a finite number"),
        ("seed='99999999999999999999'", "not a whole number below 2"),
        (f"measure.lengths=[{','.join(['[9,9]'] * 20_000)}]", "larger than 262,144 bytes, the most that is"),
    ],
)
def test_what_no_stage_could_use_is_refused_before_anything_is_written(
    root: Path, override: str, message: str
) -> None:
    (root / "bad.csv").write_text("colour\nred\n")
    before = files(root)
    for stages in (("prepare",), ("search",)):
        with pytest.raises(UserError, match=message):
            go_on(root, override, stages=stages)
    assert files(root) == before


def test_a_new_run_of_refused_settings_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(TINY | {"device": {"name": "pi"}}), encoding="utf-8")
    with pytest.raises(UserError, match="no device is called pi"):
        run(load_recipe(str(tmp_path / "r.yaml")), tmp_path / "run", timer=flops_timer)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "stage", "message"),
    [
        ("search.constraints=[0.001ms]", "search", "lowest reachable latency"),
        ("data.vocabulary.size=100000", "prepare", "too large for this text"),
        ("data.vocabulary.size=10", "prepare", "too small"),
    ],
)
def test_what_a_stage_refuses_is_not_kept(root: Path, override: str, stage: str, message: str) -> None:
    before = (root / "recipe.yaml").read_bytes()
    reporter = Recorder()
    with pytest.raises(UserError, match=message):
        go_on(root, override, stages=(*EARLY, stage), reporter=reporter)
    assert (root / "recipe.yaml").read_bytes() == before
    assert not (root / ACCEPTED_FILE).exists()
    key, _ = override.split("=")
    assert reporter.said[-1].startswith(f"the run keeps the settings it had: {key} ")
    go_on(root)


def test_what_a_stage_refuses_of_a_new_run_becomes_what_its_recipe_says(tmp_path: Path) -> None:
    name, root = write(tmp_path / "r.yaml", TINY), tmp_path / "run"
    stages = (*EARLY, "search")
    for impossible in ("search.constraints=[0.001ms]", "data.vocabulary.size=100000"):
        recipe = load_recipe(name, [impossible, "super_training.updates=6"])
        with pytest.raises(UserError, match=r"lowest reachable|too large"):
            run(recipe, root, stages=stages, timer=flops_timer, written=recipe_as_written(name))
        kept, _ = open_run(str(root))
        assert (kept.search, kept.data) == (load_recipe(name).search, load_recipe(name).data)
        assert kept.super_training.updates == 6, "accepted by the first try, as it was never refused"
    go_on(root, stages=stages)


def test_a_recipe_that_is_none_without_overrides_has_no_settings_to_go_back_to(tmp_path: Path) -> None:
    name = write(tmp_path / "r.yaml", {key: value for key, value in TINY.items() if key != "space"})
    assert recipe_as_written(name) is None
    assert recipe_as_written("nowhere") is None
    assert load_recipe(name, ["space=demo"]).space == "demo"


def test_what_earlier_stages_accepted_is_kept(root: Path) -> None:
    with pytest.raises(UserError, match="lowest reachable"):
        go_on(root, "super_training.updates=6", "search.constraints=[0.001ms]", stages=(*EARLY, "search"))
    recipe, _ = open_run(str(root))
    assert recipe.super_training.updates == 6
    assert recipe.search.constraints == ["70%"]
    go_on(root, "super_training.updates=7", "search.constraints=[0.001ms]", stages=("train-super",))
    assert open_run(str(root))[0].search.constraints == ["0.001ms"]  # nobody has looked at it yet
    with pytest.raises(UserError, match="lowest reachable"):
        go_on(root, stages=("search",))
    recipe, _ = open_run(str(root))
    assert recipe.super_training.updates == 7
    assert recipe.search.constraints == ["70%"]


class Stopped(Recorder):
    """Raises an error when a step is begun."""

    def __init__(self, step: str, error: BaseException) -> None:
        super().__init__()
        self.step, self.error = step, error

    @contextmanager
    def working(self, name: str) -> Iterator[Progress]:
        if name == self.step:
            raise self.error
        with super().working(name) as progress:
            yield progress


@pytest.mark.parametrize("error", [KeyboardInterrupt(), DiskFull("no room")])
def test_a_run_that_was_only_stopped_goes_on_with_what_was_tried(root: Path, error: BaseException) -> None:
    stopped = Stopped("train-super", error)
    with pytest.raises(type(error)):
        go_on(root, "super_training.updates=8", "search.constraints=[0.001ms]", reporter=stopped)
    assert open_run(str(root))[0].super_training.updates == 8
    go_on(root)
    with pytest.raises(UserError, match="lowest reachable"):
        go_on(root, stages=("search",))
    recipe, _ = open_run(str(root))
    assert (recipe.super_training.updates, recipe.search.constraints) == (8, ["70%"])
    assert not (root / ACCEPTED_FILE).exists()


@pytest.mark.parametrize("error", [MemoryError(), HatError("training diverged"), OSError("no route")])
def test_a_run_that_failed_goes_on_with_what_was_accepted(root: Path, error: Exception) -> None:
    before = (root / "recipe.yaml").read_bytes()
    with pytest.raises(type(error)):
        go_on(root, "super_training.updates=9", reporter=Stopped("train-super", error))
    assert (root / "recipe.yaml").read_bytes() == before


def test_sections_that_do_not_fit_each_other_are_not_mixed(tmp_path: Path) -> None:
    plain = load_recipe(write(tmp_path / "plain.yaml", TINY))
    other = [{**TINY["baselines"][0], "name": "other"}]
    taught = TINY | {"baselines": other, "distillation": {"teacher": "other"}}
    recipe = load_recipe(write(tmp_path / "taught.yaml", taught))
    with trying(tmp_path, plain, lambda line: None):
        pass

    def refused_in_train() -> None:
        with trying(tmp_path, recipe, lambda line: None) as accept:
            accept("distill")  # whose teacher is none of the plain recipe's models
            raise UserError("train: refused")

    with pytest.raises(UserError, match="train: refused"):
        refused_in_train()
    assert load_recipe(str(tmp_path / "recipe.yaml")) == plain


def write(path: Path, recipe: object) -> str:
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return str(path)
