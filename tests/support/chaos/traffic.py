"""Callers: a steady stream of requests, some sent twice, some cancelled, some of these tried again; and of changes."""

from __future__ import annotations

import base64
import hashlib
import heapq
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any, Self

import httpx

from .counting import STEP_FILE
from .model import Ledger, Sent
from .stage import Hub

SENDERS = 3
MOST_WAITING = 40
ANSWER_SECONDS = 10.0
TRIES_WITH_KEY = 4


class Traffic:
    """Sends until it is left.

    Args:
        url: address of the API.
        token: an access token.
        hub: the Hub, which is told to refuse some.
        seed: decides what is sent.
        pause: mean seconds between two requests of one sender.
    """

    def __init__(self, url: str, token: str, hub: Hub, seed: int, pause: float) -> None:
        self.ledger = Ledger()
        self._url, self._token, self._hub, self._seed, self._pause = url, token, hub, seed, pause
        self._stop = threading.Event()
        self._room = threading.Event()
        self._room.set()
        self._later: list[tuple[float, str, str, Sent]] = []
        self._threads = [threading.Thread(target=self._send_forever, args=[number]) for number in range(SENDERS)]
        self._threads.append(threading.Thread(target=self._command_for_ever))
        self._threads.append(threading.Thread(target=self._change_for_ever))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._room.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.Client(base_url=self._url, headers=headers, timeout=ANSWER_SECONDS)

    def _send_forever(self, number: int) -> None:
        chance = random.Random(f"{self._seed}/sender {number}")
        with self._client() as client, ThreadPoolExecutor(2) as pool:
            for turn in range(1_000_000):
                if self._stop.wait(chance.uniform(0.2, 1.8) * self._pause):
                    return
                self._room.wait()
                sent = self._invent(chance, f"t{number}-{turn}")
                self.ledger.add(sent)
                if sent.doomed:
                    path = f"/api/spaces/alice/{sent.body['name']}/commit/"
                    self._hub.ask("POST", "faults", {"method": "POST", "path": path, "status": 403})
                self._submit(client, pool, sent, at_once=chance.random() < 0.4)
                self._plan(chance, sent)

    def _invent(self, chance: random.Random, tag: str) -> Sent:
        kind = chance.choice(["static", "static", "gradio", "docker", "streamlit"])
        doomed = chance.random() < 0.12
        body: dict[str, Any] = {"space_type": kind, "labels": [tag], "files": {"data/tag.txt": f"{tag} {self._seed}"}}
        files = body["files"]
        if kind == "static":
            files["index.html"] = f"<h1>{tag}</h1>\n"
        else:
            files["app.py"] = f"print({tag!r})\n"
            body["secrets"] = {"KEY": tag}
        if kind == "docker":
            files["Dockerfile"] = "FROM python:3.11-slim\nCOPY . .\nCMD python app.py\n"
        if chance.random() < 0.3:
            body["parameters"] = {"tag": tag, "list": [1, "ü", None]}
        if chance.random() < 0.25:
            blob = base64.b64encode(chance.randbytes(chance.randint(1, 3000))).decode()
            files["data/blob.bin"] = {"content": blob, "encoding": "base64"}
        if doomed or chance.random() < 0.7:
            body["name"] = f"chaos-{tag}"
        key = f"key-{tag}" if chance.random() < 0.5 else None
        return Sent(tag, body, key, doomed)

    def _submit(self, client: httpx.Client, pool: ThreadPoolExecutor, sent: Sent, *, at_once: bool) -> None:
        if sent.key is None:
            self._post(client, sent)
        elif at_once:
            for answer in [pool.submit(self._post, client, sent) for _ in range(2)]:
                answer.result()
        else:
            for number in range(TRIES_WITH_KEY):
                if self._post(client, sent) and number:
                    return
                if self._stop.wait(0.1):
                    return

    def _post(self, client: httpx.Client, sent: Sent) -> bool:
        headers = {"Idempotency-Key": sent.key} if sent.key else {}
        answer = None
        while answer is None:
            try:
                answer = client.post("/spaces", json=sent.body, headers=headers)
            except httpx.ConnectError:
                # Nobody listens, so nobody has it.
                if self._stop.wait(0.1):
                    return False
            except httpx.TransportError:
                self.ledger.answered("submit", None, "", fine=())
                return False
        # 409: the same key is just being worked on by another server process.
        fine = (202, 409, 503) if sent.key else (202, 503)
        self.ledger.answered("submit", answer.status_code, answer.text, fine=fine)
        if answer.status_code != 202:
            return False
        with self.ledger.lock:
            sent.accepted.add(answer.json()["latest_request"]["id"])
            sent.space_id = answer.json()["id"]
        return True

    def _plan(self, chance: random.Random, sent: Sent) -> None:
        now = time.monotonic()
        with self.ledger.lock:
            for id in sent.accepted:
                if chance.random() < 0.15:
                    heapq.heappush(self._later, (now + chance.uniform(0, 1.5), id, "cancel", sent))
                elif sent.doomed and chance.random() < 0.5:
                    heapq.heappush(self._later, (now + chance.uniform(1, 6), id, "retry", sent))

    def _command_for_ever(self) -> None:
        chance = random.Random(f"{self._seed}/commands")
        with ExitStack() as stack:
            client = stack.enter_context(self._client())
            look = 0.0
            while not self._stop.wait(0.05):
                now = time.monotonic()
                if now > look:
                    look = now + 1.0
                    self._look_at_queue(client)
                with self.ledger.lock:
                    due = heapq.heappop(self._later) if self._later and self._later[0][0] < now else None
                if due is None:
                    continue
                _, id, command, sent = due
                done = self._command(client, id, command, sent)
                if command == "cancel" and done and chance.random() < 0.5:
                    with self.ledger.lock:
                        heapq.heappush(self._later, (now + chance.uniform(0, 3), id, "retry", sent))

    def _change_for_ever(self) -> None:
        """Updates, rolls back and deletes what is there; now and then somebody else commits to it."""
        chance = random.Random(f"{self._seed}/changes")
        with self._client() as client:
            for turn in range(1_000_000):
                if self._stop.wait(chance.uniform(0.2, 1.8) * self._pause / 2):
                    return
                self._room.wait()
                made = self.ledger.made()
                if made:
                    self._change(client, chance, chance.choice(made[-30:]), f"c{turn}")

    def _change(self, client: httpx.Client, chance: random.Random, sent: Sent, step: str) -> None:
        act = chance.choices([self._update, self._roll_back, self._delete, self._push], [12, 4, 2, 1])[0]
        act(client, chance, sent, step)

    def _update(self, client: httpx.Client, chance: random.Random, sent: Sent, step: str) -> None:
        text = f"{sent.tag} {step} {self._seed}"
        body: dict[str, Any] = {"mode": chance.choice(["merge", "replace"]), "files": {STEP_FILE: text}}
        if body["mode"] == "replace":
            body["files"] |= sent.body["files"]
        elif chance.random() < 0.5:
            body["files"]["data/tag.txt"] = None
        if chance.random() < 0.4:
            body["variables"] = {"STEP": step}
        if chance.random() < 0.3:
            body["parameters"] = {"step": step}
        with self.ledger.lock:
            sent.steps[hashlib.sha256(text.encode()).hexdigest()] = body
        self._ask(client, chance, sent, "update", "POST", f"/spaces/{sent.space_id}", body)

    def _roll_back(self, client: httpx.Client, chance: random.Random, sent: Sent, step: str) -> None:
        known = sorted(sent.accepted | sent.changes)
        body = {"command": "rollback", "request_id": chance.choice(known)}
        self._ask(client, chance, sent, "rollback", "POST", f"/spaces/{sent.space_id}/command", body)

    def _delete(self, client: httpx.Client, chance: random.Random, sent: Sent, step: str) -> None:
        sent.delete_sent = True
        self._ask(client, chance, sent, "delete", "DELETE", f"/spaces/{sent.space_id}", None)

    def _push(self, client: httpx.Client, chance: random.Random, sent: Sent, step: str) -> None:
        name = f"alice/{sent.body.get('name', '')}"
        repository = self._hub.spaces().get(name)
        if repository and any(not commit["initial"] for commit in repository["commits"]):
            sent.foreign = True
            # It may have been deleted meanwhile.
            with suppress(AssertionError):
                self._hub.ask("POST", "commit", {"space": name, "files": {"theirs.txt": step}})

    def _ask(
        self,
        client: httpx.Client,
        chance: random.Random,
        sent: Sent,
        what: str,
        method: str,
        path: str,
        body: dict[str, Any] | None,
    ) -> None:
        answer = None
        while answer is None:
            try:
                answer = client.request(method, path, json=body)
            except httpx.ConnectError:
                # Nobody listens, so nobody has it.
                if self._stop.wait(0.1):
                    return
            except httpx.TransportError:
                self.ledger.answered(what, None, "", fine=())
                return
        self.ledger.answered(what, answer.status_code, answer.text, fine=(202, 409, 503))
        if answer.status_code != 202:
            return
        made = answer.json().get("latest_request") or answer.json()
        with self.ledger.lock:
            sent.changes.add(made["id"])
            if what != "delete" and chance.random() < 0.12:
                heapq.heappush(self._later, (time.monotonic() + chance.uniform(0, 1.5), made["id"], "cancel", sent))

    def _command(self, client: httpx.Client, id: str, command: str, sent: Sent) -> bool:
        if command == "cancel":
            sent.cancel_sent = True
        try:
            answer = client.post(f"/requests/{id}/command", json={"command": command})
        except httpx.TransportError:
            self.ledger.answered(command, None, "", fine=())
            return False
        self.ledger.answered(command, answer.status_code, answer.text, fine=(202, 409, 503))
        return answer.status_code == 202

    def _look_at_queue(self, client: httpx.Client) -> None:
        """Lets the senders wait while much is waiting: a run is about faults, not about load."""
        try:
            answer = client.get("/requests", params={"filter[status]": "queued", "page[limit]": 1})
        except httpx.TransportError:
            return
        self.ledger.answered("look", answer.status_code, answer.text, fine=(200, 503))
        if answer.status_code == 200 and answer.json()["meta"]["total"] > MOST_WAITING:
            self._room.clear()
        else:
            self._room.set()
