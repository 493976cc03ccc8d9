# %% [markdown]
# # Translate with a finished model
#
# A Translator needs no PyTorch: on the device, `pip install hardware-aware-transformers` is enough. Run
# `text_to_model.py` first: this translates with its model, which was trained for seconds only.

# %%
import hat

# %% [markdown]
# ## Lines of text
#
# A run, an artefact folder, or an ONNX export: `hat.Translator.load(folder)` opens any of them. A line may
# hold several sentences.

# %%
with hat.Run("runs/quick").translator() as translator:
    config = translator.config
    print(f"{config.source_language} to {config.target_language}, {config.precision} weights")
    for translation in translator.translate(["The old dog sleeps.", "Two children see a red house."]):
        print(f"{translation}  (score {translation.score:.2f})")

    # %% [markdown]
    # ## Several translations of a line, and the probability of a given one

    # %%
    [translation] = translator.translate(["The old dog sleeps."], nbest=3)
    for text, score in ((translation.text, translation.score), *translation.alternatives):
        print(f"{score:6.2f}  {text}")
    [given] = translator.score([("The old dog sleeps.", "Der alte Hund schläft.")])
    print(f"{given.score:6.2f}  Der alte Hund schläft.")
