# %% [markdown]
# # From text to a model
#
# A run goes from parallel text to translation models for this machine. This one is the demo, made so small
# that it takes seconds: its translations are poor. `hat.Run("demo")` alone takes minutes and translates well.

# %%
from pathlib import Path

import hat
from hat.cli import Terminal

# %% [markdown]
# ## The recipe
#
# A recipe says what a run does. Any key of it may be changed, by its path.

# %%
TRAINING = {"batch_tokens": 600, "learning_rate": 0.003, "warmup": 5, "validate_every": 20}
QUICK = {
    "data.builtin": {"train": 3000, "valid": 50, "test": 50},
    "data.vocabulary.size": 600,
    "super_training": {**TRAINING, "updates": 20},
    "sub_training": {**TRAINING, "updates": 10},
    "baselines": [],
    "measure": {"samples": 24, "rounds": 8, "verify_rounds": 8},
    "search.population": 10,
    "search.parents": 4,
    "search.iterations": 2,
    "search.validation_sentences": 20,
    "search.constraints": ["70%"],  # of the largest network's latency on this machine
}
run = hat.Run("demo", Path("runs/quick"), settings=QUICK)
print(f"{run.space.size():.1e} architectures to choose from")

# %% [markdown]
# ## The work
#
# Text, tokens, the SuperTransformer, latencies, the search, final training, evaluation. What is done is not
# repeated: run this cell twice, or stop it and run it again.

# %%
run.work(reporter=Terminal())

# %% [markdown]
# ## The results

# %%
for step in run.status().steps:
    print(f"{step.step:24} {step.state:10} {step.cost.wall_seconds:6.1f} s")
for line in run.constraints():
    print(line)
for name, model in run.models().items():
    print(f"{name:10} BLEU {model.scores['bleu']:5.1f}  {model.deployed}")
