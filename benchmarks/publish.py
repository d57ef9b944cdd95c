"""From the call to the published Space: the service, one call per file, and a bare script."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import httpx
from huggingface_hub import CommitOperationAdd, HfApi

from benchmarks import stage
from benchmarks.measuring import Goal, Plot, Result, in_turn, timed
from tests.support.chaos.stage import Hub

WHAT = (
    "Seconds from `POST /create-space` (a static Space) to its published commit, and requests to the Hub, by number "
    "of files and latency of a Hub call in milliseconds. `one by one` creates the Space and uploads each file with a "
    "call of its own. `bare script` is `create_repo` and one `create_commit` of huggingface_hub, the minimum for "
    "sequential calls."
)
WHY = "three round trips to the Hub take 312 ms of it; a request takes 57 statements and 3 waits for the disk"
SERVICE, ONE_BY_ONE, BARE = "service", "one by one", "bare script"


def run(quick: bool) -> Result:
    """Runs the benchmark."""
    counts, latencies, rounds = ([1, 3], [0.0], 1) if quick else ([1, 5, 20, 60, 200], [0.0, 0.1, 0.2], 5)
    result = Result("publish", WHAT, plot=Plot("files", [f"{side} s" for side in (SERVICE, ONE_BY_ONE, BARE)], "s"))
    with stage.hub() as hub, stage.embedded(HF_ENDPOINT=hub.url, HF_TOKEN="hf_alice") as url:
        client = stage.logged_in(url)
        for latency in latencies:
            hub.ask("POST", "latency", {"seconds": latency})
            for count in counts:
                # What takes a minute varies little.
                often = rounds if count * latency < 5 else 1
                result.rows.append(_row(hub, client, count, latency, often))
    by_case = {(row["files"], row["ms per call"]): row for row in result.rows}
    if row := by_case.get((20, 100)):
        result.goals = [
            Goal(
                "publish of 20 files at 100 ms per call: times faster than one by one", row["one by one ÷"], 13, why=WHY
            ),
            Goal("the same in relation to the bare script", round(1 / row["bare script ÷"], 2), 1.15, at_least=False),
        ]
    return result


def _row(hub: Hub, client: httpx.Client, count: int, latency: float, rounds: int) -> dict[str, float | int]:
    files = stage.files(count)
    tree = _tree(client, files)
    api = HfApi(endpoint=hub.url, token="hf_alice")
    ways: dict[str, Callable[[], None]] = {
        SERVICE: lambda: _by_service(client, files),
        ONE_BY_ONE: lambda: _one_by_one(api, files),
        BARE: lambda: _bare(api, tree),
    }
    asked = {}
    for name, way in ways.items():
        stage.requests_of(hub)
        way()
        asked[name] = stage.requests_of(hub)
    runs = in_turn({name: (lambda way=way: timed(way)) for name, way in ways.items()}, rounds, warm=False)  # type: ignore[misc]  # mypy cannot infer the lambda
    row: dict[str, float | int] = {"files": count, "ms per call": round(latency * 1000)}
    row |= {f"{name} s": round(side.median, 4) for name, side in runs.items()}
    row |= {f"{name} requests": number for name, number in asked.items()}
    for name in (ONE_BY_ONE, BARE):
        row[f"{name} ÷"] = round(runs[name].median / runs[SERVICE].median, 2)
    return row


def _body(files: Mapping[str, str]) -> dict[str, object]:
    return {"space_type": "static", "name": stage.new_name(), "files": files}


def _by_service(client: httpx.Client, files: Mapping[str, str]) -> None:
    answer = client.post("/create-space", json=_body(files))
    assert answer.status_code == 200, answer.text


def _tree(client: httpx.Client, files: Mapping[str, str]) -> dict[str, bytes]:
    """Returns what the service publishes for these files, so that the bare script publishes the same."""
    answer = client.post("/spaces/preview?content=true", json=_body(files))
    assert answer.status_code == 200, answer.text
    return {file["path"]: file["content"].encode() for file in answer.json()["files"]}


def _one_by_one(api: HfApi, files: Mapping[str, str]) -> None:
    name = str(api.whoami()["name"])
    repo = f"{name}/{stage.new_name()}"
    api.create_repo(repo, repo_type="space", space_sdk="static")
    # The first version of the service added an empty requirements.txt to every Space.
    for path, content in {**files, "requirements.txt": ""}.items():
        api.upload_file(path_or_fileobj=content.encode(), path_in_repo=path, repo_id=repo, repo_type="space")


def _bare(api: HfApi, tree: Mapping[str, bytes]) -> None:
    repo = f"alice/{stage.new_name()}"
    api.create_repo(repo, repo_type="space", space_sdk="static")
    operations = [CommitOperationAdd(path, content) for path, content in tree.items()]
    api.create_commit(repo, operations, commit_message="Publish", repo_type="space")
