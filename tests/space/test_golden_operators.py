"""The shipped spaces sample, mutate, cross over and list neighbours as before layers could lack parts or
run several times: recorded from that version."""

import random

import pytest

from hat import zoo
from hat.files import digest

RECORDED = {
    "demo": "036a74de4816d6c5",
    "iwslt-latency": "e2a592f3c66b3562",
    "iwslt-space1": "741d926b415c1173",
    "multi30k": "3cd8bc5c9e66de5c",
    "wmt-latency": "e2a592f3c66b3562",
    "wmt-space0": "ddd7c088e665e291",
}


@pytest.mark.parametrize("name", zoo.space_names())
def test_operators_give_what_they_gave(name: str) -> None:
    space, rng, rows = zoo.space(name), random.Random(4), list[object]()
    for _ in range(10):
        one, other = space.sample(rng), space.sample(rng)
        rows += [one.to_dict(), other.to_dict(), one.short_hash()]
        rows.append([max(gene, 0) for gene in space.encode(one)])  # of missing layers 0 was recorded
        rows += [space.mutate(one, rng, 0.3).to_dict(), space.crossover(one, other, rng).to_dict()]
        rows.append([near.short_hash() for near in space.neighbours(one)])
    assert digest([rows, space.size(), space.to_dict()])[:16] == RECORDED[name]


def test_every_shipped_space_is_recorded() -> None:
    assert set(RECORDED) == set(zoo.space_names())
