"""HTTP between an ASGI host and a handler: heads, bodies, endpoints, answers, keys. No engine, no stream of tokens."""
