"""What the OpenAPI document says of errors is what the product answers."""

from typing import Any

import pytest

from landing.door import openapi, problems


def test_every_problem_says_when_it_comes() -> None:
    assert list(openapi.WHEN) == list(problems.STATUSES)


@pytest.fixture(scope="module")
def document() -> Any:
    from drf_spectacular.generators import SchemaGenerator

    return SchemaGenerator().get_schema(request=None, public=True)


def test_each_error_has_an_example_for_each_of_its_codes(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                [content] = answer["content"].values()
                examples = [example["value"] for example in content["examples"].values()]
                if "code" in examples[0]:
                    assert {example["status"] for example in examples} == {int(status)}
                    assert all(f"`{example['code']}`: " in answer["description"] for example in examples)


def test_what_may_pass_later_says_how_long_to_wait(document: dict[str, Any]) -> None:
    answers = document["paths"]["/api/register/"]["post"]["responses"]
    assert [status for status, answer in answers.items() if "Retry-After" in answer.get("headers", {})] == [
        "403",
        "429",
        "503",
    ]
