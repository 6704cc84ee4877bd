"""The request log in MongoDB."""

from functools import cache
from typing import Any

from pymongo import MongoClient, WriteConcern
from pymongo.collection import Collection

from tools.bench.peers import env


def log_request(document: dict[str, Any]) -> None:
    """Insert one document."""
    _collection().insert_one(document)


@cache
def _collection() -> Collection[dict[str, Any]]:
    client: MongoClient[dict[str, Any]] = MongoClient(
        env.MONGODB_HOST, env.MONGODB_PORT, username=env.MONGODB_USER, password=env.MONGODB_PASSWORD
    )
    return client[env.MONGODB_DB].get_collection("request_logs", write_concern=WriteConcern(w=1, j=True))
