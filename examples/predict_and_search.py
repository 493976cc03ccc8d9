# %% [markdown]
# # Predict the latency of architectures, and search among them
#
# A run measures some architectures on the device and fits a predictor to them. The predictor answers in
# microseconds, so that a search may ask for thousands. Run `text_to_model.py` first: this goes on from its
# run.

# %%
import random
import tempfile
from pathlib import Path

import hat
from hat.architecture import cost
from hat.search import LATENCY, CostLimit, EvolutionSettings, SearchProblem, evolve

run = hat.Run("runs/quick")
predictor = run.predictor()
print(
    f"held-out error {predictor.report.mape:.1f} %, of a linear baseline {predictor.report.linear_mape:.1f} %"
)

# %% [markdown]
# ## Predictions, each with an interval

# %%
largest, smallest = run.space.largest(), run.space.smallest()
for name, architecture in (("largest", largest), ("smallest", smallest)):
    (latency,) = predictor.predict([architecture])
    (low,), (high,) = predictor.predict_interval([architecture], 0.8)
    print(f"{name:10} {latency:.3f} ms, with a probability of 80 % from {low:.3f} to {high:.3f}")

# %% [markdown]
# ## Measured and predicted

# %%
measured = run.measurements()[:5]
for one, predicted in zip(measured, predictor.predict([one.architecture for one in measured]), strict=True):
    print(f"measured {one.latency_ms:.3f} ms, predicted {predicted:.3f} ms")

# %% [markdown]
# ## A search of one's own
#
# The stages of a run minimise the loss that an architecture has with the SuperTransformer's weights. Any
# function of an architecture will do: here the most parameters within half of the largest one's latency.


# %%
def loss(architecture):
    """Lower is better."""
    return -cost(architecture).parameters


(limit,) = predictor.predict([largest]) / 2
problem = SearchProblem(run.space, loss, (CostLimit(LATENCY, predictor.predict, limit),))
settings = EvolutionSettings(population=40, parents=10, mutations=15, crossovers=15, iterations=8)
with tempfile.TemporaryDirectory() as folder:
    result = evolve(problem, settings, seed=1, folder=Path(folder))
best = result.best[0]
rng = random.Random(1)
feasible = problem.feasible(run.space.sample(rng) for _ in range(result.evaluations))
drawn = max(cost(architecture).parameters for architecture in feasible)
print(f"evolution: {-best.loss:,.0f} parameters in {best.costs['latency']:.3f} ms (limit {limit:.3f} ms)")
print(f"the best of as many random ones: {drawn:,}")
