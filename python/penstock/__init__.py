"""Penstock: an OpenAI-compatible inference server with a Rust edge and a JAX engine."""
