"""Filters, pages and order, as the service reads them."""

from __future__ import annotations

from typing import Any

import pytest

from assembler_client import FilterOperator, InvalidRequest, begins_with, between, contains
from assembler_client.types import query


@pytest.mark.parametrize(
    ("filter", "text"),
    [
        ("x", "x"),
        (["a", "b"], "a,b"),
        (True, "true"),
        (None, "null"),
        ((FilterOperator.neq, None), "!null"),
        ((FilterOperator.neq, ["a", "b"]), "!a,b"),
        (contains("x"), "~%x%"),
        (begins_with("x"), "~x"),
        ("~x", "~x"),
        (3, "3"),
    ],
)
def test_filters_are_written_as_the_service_reads_them(filter: Any, text: str) -> None:
    assert query({"name": filter}) == (("filter[name]", text),)


def test_ranges_pages_and_order() -> None:
    assert query({"size": between(1, 5)}) == (("filter[size]", ">=1"), ("filter[size]", "<=5"))
    assert query({"size": between(high=5)}) == (("filter[size]", "<=5"),)
    assert query(page={"limit": 5}) == (("page[limit]", "5"),)
    assert query(sort={"by": "name", "order": "descending"}) == (("sort", "-name"),)
    assert query(sort=[{"by": "a"}, {"by": "b", "order": "descending"}]) == (("sort", "a,-b"),)
    assert query(sort="-a,b", fields=["email", "x"], include="realm") == (
        ("sort", "-a,b"),
        ("fields", "+email,+x"),
        ("include", "realm"),
    )


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"sort": {"by": "a", "order": "desc"}}, "sort.order.desc"),
        ({"sort": {"field": "a"}}, "sort.field"),
        ({"page": {"size": 5}}, "page.size"),
    ],
)
def test_misspelt_arguments_are_errors(arguments: dict[str, Any], path: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        query(**arguments)
    assert [issue.path for issue in refused.value.issues] == [path]
    assert "Known: " in str(refused.value)
