"""Reads JSON bodies."""

from collections.abc import Mapping
from typing import IO, Any

import orjson
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from landing.door.problems import Refused


class JsonParser(BaseParser):
    """JSON by orjson: UTF-8 only, and 200,000 nested brackets are an error, not a recursion."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the object in the body. Raises ParseError (not JSON) or Refused (no object)."""
        try:
            body = orjson.loads(stream.read())
        except orjson.JSONDecodeError:
            raise ParseError from None
        if not isinstance(body, dict):
            raise Refused("invalid_body")
        return body
