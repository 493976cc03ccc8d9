"""Versions of the steps' algorithms: when a step's results change, its number here goes up by one.

Results of an older version stay on disk, are named by `hat status`, and are made again by the next run. Steps
at FIRST keep the keys from before there were versions. The comment of each later number says what changed.
"""

FIRST = 1

# A step, or a stage for all its steps that have no entry. Without an entry a step is at FIRST.
VERSIONS = {
    "prepare/acquire": 2,  # a carriage return stays in its sentence, every <seg> of a line counts
    "prepare": 2,  # characters without meaning go; the report says what the training lines are like
    "measure": 2,  # intervals that cover what they say, times relative to the reference of the same round
    "fit": 2,  # an interval of the held-out error that covers it, ratios at each pair of lengths
    "losses": FIRST,  # of candidates, which all searches of a run remember; with it goes that of search
    "search": 2,  # chosen with its whole interval, verified once, judged by that interval
    "train": 2,  # artefacts say what lines they were trained on
    "evaluate/latencies": 2,  # as measure
    "evaluate": 2,  # lines are translated sentence by sentence, unknown words copied
}


def version_of(step: str) -> int:
    """The version of a step's algorithm, by the step's name."""
    return VERSIONS.get(step, VERSIONS.get(step.split("/", maxsplit=1)[0], FIRST))
