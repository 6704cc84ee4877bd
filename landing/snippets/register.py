import time
import uuid

import httpx

API = "http://127.0.0.1:8000/api/register/"


def register(phone_number: str, tries: int = 5) -> str:
    """Return the task_id of an accepted registration."""
    key = str(uuid.uuid4())  # one for all tries: a repeat is stored once
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
while (status := httpx.get(f"{API}{task_id}/").json()["status"]) == "Processing":
    time.sleep(0.2)
print(task_id, status)
