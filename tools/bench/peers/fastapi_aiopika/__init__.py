"""FastAPI and aio-pika: one confirmed publish for each request."""
