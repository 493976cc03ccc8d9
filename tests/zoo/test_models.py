"""The zoo's models: whatever they are, their figures say where they are from."""

from typing import Any

import pytest

from hat.architecture import Architecture, cost
from hat.errors import UserError
from hat.zoo import published_models
from hat.zoo.models import SOURCES, SourcedFigure, model, models


@pytest.mark.parametrize("entry", published_models(), ids=lambda entry: str(entry["name"]))
def test_our_rules_give_the_published_costs(entry: dict[str, Any]) -> None:
    counted = cost(Architecture.from_dict(entry["architecture"]), entry["sentence_length"])
    assert (counted.parameters, counted.flops) == (entry["params"], entry["flops"])
    figures = model(entry["name"]).results[0].figures
    assert figures["parameters"] == SourcedFigure(counted.parameters, "published")
    assert figures["flops"] == SourcedFigure(counted.flops, "published")
    assert round(counted.parameters / 1e6, 2) == pytest.approx(entry["params_millions"], abs=0.011)


def test_transformer_big_costs_what_was_published() -> None:
    figures = model("transformer-big").results[0].figures
    assert figures["parameters"].value == pytest.approx(176e6, rel=0.02)
    assert figures["flops"].value == pytest.approx(10.6e9, rel=0.02)
    assert figures["bleu"] == SourcedFigure(28.4, "secondary")


def test_the_evolved_transformer_costs_what_was_published() -> None:
    figures = model("evolved-transformer").results[0].figures
    assert figures["parameters"] == SourcedFigure(47_059_968, "computed")
    assert figures["parameters"].value == pytest.approx(47e6, rel=0.02)
    assert figures["flops"].value == pytest.approx(2.9e9, rel=0.02)
    assert figures["bleu"] == SourcedFigure(28.2, "secondary")


def test_what_is_in_it() -> None:
    everything = models()
    names = [one.name for one in everything]
    assert len(set(names)) == len(names)
    kinds = [one.kind for one in everything]
    assert kinds.count("published") == 44
    assert {"baseline", "measured"} < set(kinds)
    for one in everything:
        for result in one.results:
            assert {figure.source for figure in result.figures.values()} <= SOURCES.keys()
        if one.kind == "measured":
            [result] = one.results
            assert result.figures["latency_ms"].source == "measured"
            assert result.figures["sacrebleu"].source == "measured"


def test_filters() -> None:
    found = models("wmt14.en-fr", "titan-xp")
    assert len(found) == 5
    assert {(r.task, r.device) for one in found for r in one.results} == {("wmt14.en-fr", "titan-xp")}
    big = next(one for one in models("wmt19.en-de") if one.name == "transformer-big")
    assert [result.task for result in big.results] == ["wmt19.en-de"]


def test_unknown_names() -> None:
    with pytest.raises(UserError, match=r"--task wmt15: the choices are .*wmt14\.en-de"):
        models("wmt15")
    with pytest.raises(UserError, match=r"--device pdp-11: the choices are .*raspberry-pi-4"):
        models(device="pdp-11")
    with pytest.raises(UserError, match="no model 'x' in the zoo; `hat zoo list`"):
        model("x")
