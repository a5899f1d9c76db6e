"""The servers: their routes, models and tools, and what stands behind each handler."""
