"""Names of the files by which folders are recognised: models that a device runs, and runs; and what is read
of a run without the libraries that wrote it."""

# An artefact: configuration and weights, and the tokenizer's folder.
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer"
# An ONNX export, which has these two graphs where an artefact has WEIGHTS.
ONNX_FILES = ("encoder.onnx", "decoder.onnx")
# A run: its mark, the list of its finished models, and its report.
RUN_FILE, MODELS, REPORT = "run.json", "models.json", "report.json"
# The journal of a training.
TRAINING_LOG = "log.jsonl"
