"""The steps of a run by name: the files that they leave, and the versions of their algorithms."""

from hat.recipe.names import LATENCIES

# Steps. Those of the models and constraints are named after them, below their stage.
ACQUIRE, PREPARE = "prepare/acquire", "prepare"
TRAIN_SUPER, MEASURE, FIT = "train-super", "measure", "fit"
SEQUENCES, TOKENS = "distill/sequences", "distill/tokens"
LATENCY_STEP = f"evaluate/{LATENCIES}"

# prepare (and distill/sequences): token stores of the training and the validation text.
STORES = ("train", "valid")
LENGTHS, PREPARE_REPORT = "lengths.json", "report.json"
# Source and target lines.
VALIDATION = ("valid.source.txt", "valid.target.txt")
TEST = ("test.source.txt", "test.target.txt")
# measure: what was measured on the device, or published latencies instead.
MEASURED, PUBLISHED = "latencies.json", "latencies.csv"
# measure/memory and the like, and what was measured of it before a kill.
FIGURES, PARTIAL = "figures.json", "partial.json"
# fit
PREDICTOR, PREDICTIONS = "predictor.json", "predictions.csv"
# search
FOUND = "found.json"
# distill/tokens: soft labels of the training and the validation text.
LABELS = ("train-labels", "valid-labels")
# train
ARTEFACT, TRAINING = "artefact", "training.json"
# evaluate. DEPLOYED is the model as the device runs it: at the device's precision.
DEPLOYED, SCORES, TRANSLATIONS = "deployed", "scores.json", "translations.txt"
FINAL_LATENCIES = "latencies.json"
# Key of SCORES for the beam, where it was chosen for the model.
BEAM = "beam"

# Versions of the steps' algorithms: when a step's results change, its number here goes up by one. Results of
# an older version stay on disk, are named by `hat status`, and are made again by the next run. Steps at FIRST
# have the keys from before there were versions. The comment of each later number says what changed.
FIRST = 1

# A step, or a stage for all its steps that have no entry. Without an entry a step is at FIRST.
VERSIONS = {
    "prepare/acquire": 2,  # a carriage return stays in its sentence, every <seg> of a line counts
    "prepare": 2,  # characters without meaning go; the report says what the training lines are like
    "measure": 2,  # intervals that cover what they say, times relative to the reference of the same round
    "fit": 2,  # an interval of the held-out error that covers it, ratios at each pair of lengths
    "losses": FIRST,  # of candidates, which all searches of a run remember; with it goes that of search
    "search": 2,  # chosen with its whole interval, verified once, judged by that interval
    "train-super": 2,  # one pass of AdamW, kernels of loss and attention in bf16: other last bits
    "train": 3,  # as train-super; artefacts say what lines they were trained on (2)
    "evaluate/latencies": 2,  # as measure
    "evaluate": 2,  # lines are translated sentence by sentence, unknown words copied
}


def version_of(step: str) -> int:
    """The version of a step's algorithm, by the step's name."""
    return VERSIONS.get(step, VERSIONS.get(step.split("/", maxsplit=1)[0], FIRST))
