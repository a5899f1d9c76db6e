"""One short file for each family: Hugging Face config → `DecoderSpec`, and the names of its tensors. Data, no jax."""
