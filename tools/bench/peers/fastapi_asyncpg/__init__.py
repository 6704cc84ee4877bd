"""FastAPI and asyncpg: one upsert within the request."""
