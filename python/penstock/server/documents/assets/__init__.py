"""Swagger UI, as fetched by `fetch`, and the page that shows it. No code of the server."""
