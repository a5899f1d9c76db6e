"""One decoder, described by a spec; families as data. `spec`, `tree`, `hf_config` and `registry` import no jax."""
