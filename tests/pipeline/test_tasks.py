"""The published tasks' recipes, end to end on miniature corpora in the real layouts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hat.errors import HatError, UserError
from hat.pipeline import load_recipe, run
from hat.runtime import Translator
from hat.training import TrainingSettings
from tests.data.file_server import FileServer, serving
from tests.pipeline.tasks import PAIRS, SMALL, archives
from tests.pipeline.tiny import Recorder, flops_timer

MOSES = "kind: moses-bpe, size: 60"
# Name → how its text becomes tokens here, so that both ways are tried.
TASKS = {
    "wmt14-en-de": f"{{{MOSES}}}",
    "wmt14-en-fr": "{size: 80}",
    "wmt19-en-de": "{size: 80}",
    "iwslt14-de-en": f"{{{MOSES}, joint: false, split_dashes: false, lowercase: true}}",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as told:
        monkeypatch.setenv("HAT_MIRRORS", told.url)
        yield told


def serve(server: FileServer, name: str) -> None:
    acquire = load_recipe(name).data.acquire
    assert acquire is not None
    server.files = {f"/{file}": content for file, content in archives(acquire).items()}


@pytest.mark.parametrize("name", TASKS)
def test_end_to_end(server: FileServer, tmp_path: Path, name: str) -> None:
    serve(server, name)
    overrides = [*SMALL, f"data.cache={tmp_path / 'cache'}", f"data.vocabulary={TASKS[name]}"]
    if name == "wmt14-en-fr":
        overrides.append("data.acquire.valid_every=30")  # of 1,500 pairs
    recipe = load_recipe(name, overrides)
    root = tmp_path / "run"
    run(recipe, root, timer=flops_timer)

    acquire = recipe.data.acquire
    assert acquire is not None
    [counts_file] = root.glob("steps/prepare/acquire/*/pairs.json")
    counts = json.loads(counts_file.read_text())
    read = PAIRS["train"] * len(acquire.train)
    taken = read // acquire.valid_every if acquire.valid_every else 0
    assert counts == {
        "train": read - taken,
        "valid": taken or PAIRS["valid"],
        "test": PAIRS["test"] * len(acquire.test),
    }
    report = json.loads((root / "report.json").read_text())
    assert all(0 <= model["tokenised_bleu"] <= 100 for model in report["models"])
    assert "compounds" in report["models"][0]["tokenised_bleu_signature"]
    assert "tokenised BLEU (nrefs:1" in (root / "report.md").read_text()
    with Translator.load(root, threads=1) as translator:
        config = translator.config
        assert (config.source_language, config.target_language) == tuple(name.split("-")[1:])
        assert (config.decode.beam, config.decode.length_penalty) == (
            (5, 1.0) if "iwslt" in name else (4, 0.6)
        )
        assert config.tokenizer is not None
        assert config.tokenizer.kind == ("moses-bpe" if "moses" in TASKS[name] else "sentencepiece")
        assert translator.translate(["The well-known dog."])[0].tokens is not None


def test_a_second_run_downloads_and_does_nothing(server: FileServer, tmp_path: Path) -> None:
    serve(server, "iwslt14-de-en")
    overrides = [*SMALL, f"data.cache={tmp_path / 'cache'}"]
    recipe = load_recipe("iwslt14-de-en", overrides)
    run(recipe, tmp_path / "one", stages=["prepare"])
    run(recipe, tmp_path / "two", stages=["prepare"])
    assert len(server.requests) == 1
    outcomes = [sorted(tmp_path.glob(f"{name}/steps/prepare/acquire/*/*.txt")) for name in ("one", "two")]
    assert [path.read_bytes() for path in outcomes[0]] == [path.read_bytes() for path in outcomes[1]]
    reporter = Recorder()
    elsewhere = load_recipe("iwslt14-de-en", [*overrides, "data.mirrors=[]", "data.offline=nowhere"])
    run(elsewhere, tmp_path / "one", stages=["prepare"], reporter=reporter)
    assert reporter.worked == []


def test_an_offline_folder(server: FileServer, tmp_path: Path) -> None:
    serve(server, "iwslt14-de-en")
    offline = tmp_path / "disk"
    recipe = load_recipe("iwslt14-de-en", [*SMALL, f"data.offline={offline}"])
    with pytest.raises(UserError, match=r"disk/de-en\.tgz: not in the offline folder"):
        run(recipe, tmp_path / "run", stages=["prepare"])
    offline.mkdir()
    (offline / "de-en.tgz").write_bytes(server.files["/de-en.tgz"])
    run(recipe, tmp_path / "run", stages=["prepare"])
    assert server.requests == []


def test_a_damaged_archive_leaves_no_text(server: FileServer, tmp_path: Path) -> None:
    serve(server, "iwslt14-de-en")
    whole = server.files["/de-en.tgz"]
    server.files["/de-en.tgz"] = whole[: len(whole) // 2]
    recipe = load_recipe("iwslt14-de-en", [*SMALL, f"data.cache={tmp_path / 'cache'}"])
    with pytest.raises(UserError, match=r"cache/de-en\.tgz: damaged archive .*; delete it to get it again$"):
        run(recipe, tmp_path / "run", stages=["prepare"])
    assert not list(tmp_path.glob("run/steps/prepare/acquire/*/*.txt"))
    assert not list(tmp_path.glob("run/steps/prepare/acquire/*/.work"))
    (tmp_path / "cache" / "de-en.tgz").unlink()
    server.files["/de-en.tgz"] = whole
    run(recipe, tmp_path / "run", stages=["prepare"])


def test_a_wrong_checksum(server: FileServer, tmp_path: Path) -> None:
    serve(server, "iwslt14-de-en")
    given = [*SMALL, f"data.cache={tmp_path / 'cache'}", f"data.acquire.archives.0.sha256={'f' * 64}"]
    given.append(f"data.acquire.archives.0.url={server.url}/de-en.tgz")
    recipe = load_recipe("iwslt14-de-en", [*given, "data.mirrors=[]"])
    with pytest.raises(HatError, match=r"de-en\.tgz: no place gives it: .*checksum .*expected ffff"):
        run(recipe, tmp_path / "run", stages=["prepare"])


@pytest.mark.parametrize("name", TASKS)
def test_published_settings(name: str) -> None:
    recipe = load_recipe(name)
    wmt = name.startswith("wmt")
    for settings, warmup in ((recipe.super_training, 10000), (recipe.sub_training, 4000)):
        expected = TrainingSettings(
            updates=40000 if wmt else 50000,
            batch_tokens=4096,
            accumulate=128 if wmt else 1,
            schedule="cosine" if wmt else "inverse-sqrt",
            learning_rate=1e-3 if wmt else 5e-4,
            floor_learning_rate=1e-7,
            warmup=warmup,
            clip_norm=0 if wmt else 25,
            weight_decay=0 if wmt else 1e-4,
            dropout=0.3 if wmt else 0.375,
            attention_dropout=0.1 if wmt else 0,
            validate_every=1000,
            average=10,
        )
        assert settings.model_dump(exclude={"sampling", "draws"}) == expected.model_dump()
    assert recipe.space == ("wmt-space0" if wmt else "iwslt-space1")
    search = recipe.search
    assert (search.population, search.parents, search.mutations, search.crossovers) == (125, 25, 50, 50)
    assert (search.iterations, search.mutation_probability, recipe.train.mode) == (30, 0.3, "scratch")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.acquire.archives.0.url=file:///etc/passwd", "does not name a file on an http"),
        ("data.acquire.archives.0.name=../x", "cannot name a file"),
        ("data.acquire.train.0.archive=x.tgz", r"no archive is called 'x\.tgz'; there are de-en\.tgz"),
        ("data.acquire.train.0.tsv=x", "give either source and target, or tsv"),
        ("data.acquire.valid_every=null", "give either valid or valid_every"),
        ("data.acquire=null", "corpus published needs acquire"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_recipe("iwslt14-de-en", [override])


def test_an_override_changes_one_of_two_alike() -> None:
    recipe = load_recipe("wmt14-en-de", ["sub_training.updates=7"])
    assert (recipe.sub_training.updates, recipe.baseline_training.updates) == (7, 40000)
