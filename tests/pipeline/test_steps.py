"""Steps: keys, manifests, resuming, damage, and what changed."""

import errno
import json
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from hat.errors import HatError, UserError
from hat.files import digest, write_text
from hat.pipeline.steps.costs import read_cost
from hat.pipeline.steps.results import VERSIONS
from hat.pipeline.steps.step import MANIFEST, Step, changes, execute, find, finished_steps, started
from hat.progress import Progress, silent


def counting(inputs: dict[str, object], die_at: int | None = None) -> Step:
    """A step that counts to three in a state file, one file a number, and may die on the way."""

    def run(folder: Path, progress: Progress) -> None:
        for number in range(3):
            if number == die_at:
                raise KeyboardInterrupt
            path = folder / "parts" / f"{number}.txt"
            if not path.exists():
                write_text(path, f"{number}\n")
            progress(number + 1, 3, "")
        write_text(folder / "log.txt", "by-product")

    return Step("count", inputs, ("parts",), run)


def test_finished_step_is_found_and_not_run_again(tmp_path: Path) -> None:
    first = execute(tmp_path, counting({"a": 1}), silent)
    again = execute(tmp_path, counting({"a": 1}, die_at=0), silent)
    assert again == first
    assert list(first.files) == ["parts/0.txt", "parts/1.txt", "parts/2.txt"]
    assert read_cost(first.folder).wall_seconds > 0


def test_killed_step_resumes_to_the_same_manifest(tmp_path: Path) -> None:
    for root, deaths in ((tmp_path / "a", ()), (tmp_path / "b", (0, 1, 2))):
        for death in deaths:
            with pytest.raises(KeyboardInterrupt):
                execute(root, counting({"a": 1}, death), silent)
            assert find(root, counting({"a": 1})) is None
            assert started(root, counting({"a": 1})) == (death > 0 or bool(list(root.rglob("*.json"))))
        execute(root, counting({"a": 1}), silent)
    manifests = [path.read_bytes() for path in sorted(tmp_path.rglob(MANIFEST))]
    assert len(manifests) == 2
    assert manifests[0] == manifests[1]


def test_other_inputs_keep_the_old_result_and_say_what_changed(tmp_path: Path) -> None:
    old = counting({"training": {"updates": 300}, "results": {"text": "x"}, "text": {"a": "1"}})
    new = counting({"training": {"updates": 400}, "results": {"text": "y"}, "text": {"a": "2"}})
    assert changes(tmp_path, old) == []
    execute(tmp_path, old, silent)
    assert changes(tmp_path, old) == []
    assert changes(tmp_path, new) == [
        "the text changed",
        "the text of a changed",
        "training.updates 300 -> 400",
    ]
    execute(tmp_path, new, silent)
    assert changes(tmp_path, new) == []
    assert find(tmp_path, old) is not None


def test_results_that_come_and_go_have_not_changed(tmp_path: Path) -> None:
    execute(tmp_path, counting({"results": {"text": "x"}}), silent)
    assert changes(tmp_path, counting({"results": {"text": "x", "labels": "y"}})) == ["now needs the labels"]
    assert changes(tmp_path, counting({"results": {"labels": "y"}})) == [
        "now needs the labels",
        "no longer needs the text",
    ]


def test_changes_compare_with_the_latest_finished(tmp_path: Path) -> None:
    for value in (1, 2, 1):
        execute(tmp_path, counting({"a": value}), silent)
    assert changes(tmp_path, counting({"a": 3})) == ["a 2 -> 3"]


def test_another_version_of_a_step_makes_its_result_again_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = counting({"a": 1})
    first = execute(tmp_path, step, silent)
    monkeypatch.setitem(VERSIONS, "count", 2)
    assert find(tmp_path, step) is None
    assert changes(tmp_path, step) == ["made by an older version of this step"]
    assert changes(tmp_path, counting({"a": 2}))[1:] == ["a 1 -> 2"]
    assert finished_steps(tmp_path, "count") == {"count": 1}
    made = execute(tmp_path, step, silent)
    assert json.loads((made.folder / MANIFEST).read_text())["version"] == 2
    assert finished_steps(tmp_path, "count") == {"count": 2}
    assert made.folder != first.folder
    monkeypatch.delitem(VERSIONS, "count")
    assert changes(tmp_path, counting({"a": 2})) == ["made by a newer version of this step", "a 1 -> 2"]


def test_results_from_before_there_were_versions_are_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the key of these inputs was then.
    assert counting({"a": 1}).key == digest({"a": 1})[:12] == "015abd7f5cc5"
    outcome = execute(tmp_path, counting({"a": 1}), silent)
    path = outcome.folder / MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["version"]
    path.write_text(json.dumps(manifest))
    assert find(tmp_path, counting({"a": 1})) == outcome
    monkeypatch.setitem(VERSIONS, "count", 2)
    assert changes(tmp_path, counting({"a": 1})) == ["made by an older version of this step"]


def test_damage_is_refused(tmp_path: Path) -> None:
    step = counting({"a": 1})
    outcome = execute(tmp_path, step, silent)
    path = outcome.folder / "parts" / "1.txt"
    path.write_text("9\n")
    found = find(tmp_path, step)
    assert found is not None
    with pytest.raises(UserError, match=r"1\.txt: not the content"):
        found.check(content=True)
    path.write_text("")
    with pytest.raises(UserError, match=r"1\.txt: 0 bytes, but the manifest says 2"):
        find(tmp_path, step)
    path.unlink()
    with pytest.raises(UserError, match=r"1\.txt: missing"):
        find(tmp_path, step)


def test_manifest_of_another_format_is_refused(tmp_path: Path) -> None:
    outcome = execute(tmp_path, counting({"a": 1}), silent)
    path = outcome.folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="format 99"):
        find(tmp_path, counting({"a": 1}))
    path.write_text("{")
    with pytest.raises(UserError, match=MANIFEST):
        find(tmp_path, counting({"a": 1}))


def test_a_step_that_leaves_out_an_output_is_not_finished(tmp_path: Path) -> None:
    step = Step("empty", {}, ("result",), lambda folder, progress: None)
    with pytest.raises(HatError, match="without writing"):
        execute(tmp_path, step, silent)
    assert find(tmp_path, step) is None


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), SafetensorError("I/O error: No space left on device")],
)
def test_full_disk_names_the_folder(tmp_path: Path, error: Exception) -> None:
    def run(folder: Path, progress: Progress) -> None:
        raise error

    step = Step("full", {}, ("result",), run)
    with pytest.raises(HatError, match=f"{step.folder(tmp_path)}: the disk is full"):
        execute(tmp_path, step, silent)
    assert find(tmp_path, step) is None


def test_digests_of_parts(tmp_path: Path) -> None:
    outcome = execute(tmp_path, counting({"a": 1}), silent)
    assert outcome.digest_of("parts") == outcome.digest_of("parts/0.txt", "parts/1.txt", "parts/2.txt")
    assert outcome.digest_of("parts/0.txt") != outcome.digest_of("parts/1.txt")
    with pytest.raises(HatError, match="par"):
        outcome.digest_of("par")


def test_costs_add_up_over_sessions(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(tmp_path, counting({"a": 1}, 1), silent)
    before = read_cost(counting({"a": 1}).folder(tmp_path)).wall_seconds
    outcome = execute(tmp_path, counting({"a": 1}), silent)
    assert read_cost(outcome.folder).wall_seconds > before > 0
