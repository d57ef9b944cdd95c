"""Long lists: cursors, totals, and no query per row."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from assembler_runner.core import paging
from assembler_runner.core.database import db
from assembler_runner.core.recent import Recent
from tests.conftest import Service


def pages(service: Service, path: str) -> list[str]:
    """Returns the ids of all pages, following the cursor."""
    found: list[str] = []
    after = ""
    while True:
        answer = service.get(f"{path}&page[limit]=2{after}").json
        found += [row["id"] for row in answer["data"]]
        if "after" not in answer["meta"]:
            return found
        after = f"&page[after]={answer['meta']['after']}"


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "space_type,-name", "name", "-state,id"])
def test_cursors_lead_through_all_rows_once(service: Service, sort: str) -> None:
    for number in range(7):
        service.submit(name=f"space-{number % 4}{number}", space_type="static")
    whole = [row["id"] for row in service.get(f"/spaces?sort={sort}").json["data"]]
    assert len(whole) == 7
    assert pages(service, f"/spaces?sort={sort}") == whole


def test_new_rows_do_not_shift_later_pages(service: Service) -> None:
    ids = [service.submit(name=f"space-{number}")["id"] for number in range(4)]
    first = service.get("/spaces?page[limit]=2").json
    service.submit(name="one-more")
    rest = service.get(f"/spaces?page[limit]=2&page[after]={first['meta']['after']}").json
    assert [row["id"] for row in first["data"] + rest["data"]] == ids[::-1]


def test_no_cursor_where_a_value_is_missing(service: Service) -> None:
    for number in range(3):
        service.submit(name=f"space-{number}")
    assert "after" not in service.get("/requests?sort=finished_at&page[limit]=1").json["meta"]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "WyJuYW1lLGlkIiwgMSwgMl0", "W10", "MQ", "bnVsbA"])
def test_a_cursor_of_another_order_is_refused(service: Service, cursor: str) -> None:
    answer = service.get(f"/spaces?page[after]={cursor}")
    assert answer.status_code == 400
    assert [issue["path"] for issue in answer.json["issues"]] == ["page[after]"]


def test_large_totals_are_cached_per_query(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNTED_EXACTLY", 2)
    for number in range(3):
        service.submit(name=f"space-{number}", space_type="static")
    assert service.get("/spaces?filter[name]=~space").json["meta"]["total"] == 3
    service.submit(name="space-3")
    assert service.get("/spaces?filter[name]=~space").json["meta"]["total"] == 3
    assert service.get("/spaces?filter[name]=~spac").json["meta"]["total"] == 4
    monkeypatch.setattr(paging, "_totals", Recent(0.0))
    assert service.get("/spaces?filter[name]=~space").json["meta"]["total"] == 4


@pytest.mark.parametrize("path", ["/spaces", "/requests"])
def test_a_list_needs_as_many_queries_as_a_single_row(service: Service, path: str) -> None:
    def queries() -> int:
        asked: list[str] = []

        def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
            asked.append(statement)

        with service.app.app_context():
            engine = db.engine
        sa.event.listen(engine, "before_cursor_execute", note)
        shown = service.get(path).json["data"]
        sa.event.remove(engine, "before_cursor_execute", note)
        latest = [row.get("latest_request", row) for row in shown]
        assert all(request["files"] for request in latest)
        assert sorted(request["queue_position"] for request in latest) == list(range(1, len(shown) + 1))
        return len(asked)

    service.submit()
    few = queries()
    for _ in range(5):
        service.submit()
    assert queries() == few
