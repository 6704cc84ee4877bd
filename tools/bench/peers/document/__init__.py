"""The requirements (docs/requirements.md) taken literally: one `.delay()` a request, one row and one document a task."""

from tools.bench.peers.document.celery import app

__all__ = ["app"]
