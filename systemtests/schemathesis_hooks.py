"""What schemathesis is told beside the OpenAPI document: each request comes from an address of its own."""

from typing import Any

import schemathesis

from systemtests.stack import new_sender


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """The limit of ten a minute is for one sender; these are many."""
    case.headers["X-Forwarded-For"] = new_sender()
