"""The steps of a run and the files that they leave, by name: one list for all that write or read them."""

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
