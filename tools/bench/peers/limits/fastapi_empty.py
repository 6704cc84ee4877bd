"""A FastAPI endpoint that keeps nothing."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, StringConstraints

app = FastAPI()


class Registration(BaseModel):
    """One phone number."""

    phone_number: Annotated[str, StringConstraints(pattern=r"^0[0-9]{10}$")]


@app.post("/api/register/", status_code=202)
async def register(registration: Registration) -> dict[str, str]:
    """Validate, and keep nothing."""
    return {"status": "Processing"}
