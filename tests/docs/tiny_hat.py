"""`hat` as the pages' commands run it in tests: built-in recipes, and what `hat init` writes, are as small as
a test's, under the same names; and no machine is too noisy. Everything else is as it is."""

import sys
from pathlib import Path

import yaml

from hat import zoo
from hat.cli import main
from hat.hardware.measuring import calibration
from tests.pipeline.tiny import TINY

SMALL = ("space", "super_training", "sub_training", "baseline_training", "measure", "search", "baselines")
RECIPES = ("demo", "multi30k", "multi30k-small")
FILES = {"root": ".", **{name: {"tsv": f"{name}.tsv"} for name in ("train", "valid", "test")}}


def run(arguments: list[str]) -> None:
    """`hat` with these arguments."""
    tiny = {key: value for key, value in TINY.items() if key != "name"}
    text = yaml.safe_dump(
        {**tiny, "data": {**FILES, **tiny["data"]}, "evaluate": {"beam": 2}}, sort_keys=False
    )
    original = zoo.recipe_text
    zoo.recipe_text = lambda name: text if name in RECIPES else original(name)
    if arguments[:2] == ["device", "check"]:
        calibration.NOISY = 1e9  # a machine that tests share is never steady
    if arguments[:1] == ["init"]:
        _init(arguments)
    else:
        main(arguments)


def _init(arguments: list[str]) -> None:
    from hat.recipe import first_recipe  # noqa: PLC0415 (takes seconds, which other commands need not)

    first_recipe.measured_speed = lambda: 1e9
    try:
        main(arguments)
    except SystemExit as end:
        recipe = Path(next((word for word in arguments[1:] if word.endswith(".yaml")), "my.yaml"))
        if not end.code:
            content = yaml.safe_load(recipe.read_text())
            content["data"]["vocabulary"] = TINY["data"]["vocabulary"]
            recipe.write_text(yaml.safe_dump(content | {key: TINY[key] for key in SMALL}))
        raise


if __name__ == "__main__":
    run(sys.argv[1:])
