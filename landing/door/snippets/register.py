import secrets
import time
import uuid

import httpx

API = "http://127.0.0.1:8000/api/register/"


def new_key() -> str:
    """Return a UUID version 7: its time lets the site answer sooner. Python 3.14 has uuid.uuid7()."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def register(phone_number: str, tries: int = 5) -> str:
    """Return the task_id of an accepted registration."""
    key = new_key()  # one for all tries: a repeat is stored once
    while True:
        answer = httpx.post(API, json={"phone_number": phone_number}, headers={"Idempotency-Key": key})
        body: dict[str, str] = answer.json()
        if answer.is_success:
            return body["task_id"]
        tries -= 1
        if "Retry-After" not in answer.headers or not tries:
            raise ValueError(f"{body['code']}: {body['detail']}")
        time.sleep(int(answer.headers["Retry-After"]))


task_id = register("09123456789")
while (answer := httpx.get(f"{API}{task_id}/")).json()["status"] == "Processing":
    time.sleep(int(answer.headers.get("Retry-After", 1)))
print(task_id, answer.json()["status"])
