"""The shipped data: spaces that hold what was published from them, and names that are checked."""

import csv
from pathlib import Path

import pytest

from hat import zoo
from hat.architecture import Architecture
from hat.errors import UserError

PUBLISHED_LATENCY = Path(__file__).parents[2] / "benchmarks" / "data" / "published_latency"
SPACE_OF_TASK = {"wmt14": "wmt-space0", "wmt19": "wmt-space0", "iwslt14": "iwslt-space1"}


def test_published_models_lie_in_the_published_spaces() -> None:
    for model in zoo.published_models():
        space = zoo.space(SPACE_OF_TASK[model["task"].split(".")[0]])
        assert Architecture.from_dict(model["architecture"]) in space, model["name"]


@pytest.mark.parametrize(
    ("narrow", "wide"), [("wmt-space0", "wmt-latency"), ("iwslt-space1", "iwslt-latency")]
)
def test_latency_spaces_hold_the_search_spaces(narrow: str, wide: str) -> None:
    choices = zoo.space(narrow).to_dict()
    for key, wider in zoo.space(wide).to_dict().items():
        assert set(choices[key]) <= set(wider), key


def test_every_name_opens() -> None:
    assert zoo.space_names() == [
        "demo",
        "iwslt-latency",
        "iwslt-space1",
        "multi30k",
        "wmt-latency",
        "wmt-space0",
    ]
    for name in zoo.space_names():
        assert zoo.space(name).size() > 1e6
    for name in zoo.recipe_names():
        assert zoo.recipe_text(name)


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(UserError, match=r"design space '\.\./x'; the built-in ones are demo, iwslt"):
        zoo.space("../x")
    with pytest.raises(UserError, match="recipe 'x'"):
        zoo.recipe_text("x")


def test_measured_sets_were_sampled_from_the_latency_space() -> None:
    """Every row's averages are possible, and over 2,000 rows they stand at the choices' means."""
    space = zoo.space("wmt-latency").to_dict()
    columns = {
        "encoder_embed_dim": "encoder_embed_dim",
        "encoder_layer_num": "encoder_layers",
        "encoder_ffn_embed_dim_avg": "encoder_ffn_dim",
        "encoder_self_attention_heads_avg": "encoder_heads",
        "decoder_embed_dim": "decoder_embed_dim",
        "decoder_layer_num": "decoder_layers",
        "decoder_ffn_embed_dim_avg": "decoder_ffn_dim",
        "decoder_self_attention_heads_avg": "decoder_self_heads",
        "decoder_ende_attention_heads_avg": "decoder_cross_heads",
        "decoder_arbitrary_ende_attn_avg": "encoder_layers_attended",
    }
    files = sorted(PUBLISHED_LATENCY.glob("*.csv"))
    assert len(files) == 5
    for path in files:
        rows = list(csv.DictReader(path.open()))
        for column, key in columns.items():
            values = [float(row[column]) for row in rows]
            assert min(space[key]) <= min(values), (path.name, column)
            assert max(values) <= max(space[key]), (path.name, column)
            mean = sum(space[key]) / len(space[key])
            assert sum(values) / len(values) == pytest.approx(mean, rel=0.03), (path.name, column)
            if column.startswith("decoder"):
                one_layer = {float(row[column]) for row in rows if float(row["decoder_layer_num"]) == 1}
                assert one_layer <= set(space[key]), (path.name, column)
