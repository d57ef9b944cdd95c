"""`assembler devhub`: a Hub of one's own on this machine, to try everything without an account."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from assembler_runner.devhub import Account, StandInHub
from assembler_runner.devhub.flags import parse_fault, parse_stages

T = TypeVar("T")
_SDKS = ("gradio", "docker")


@click.command("devhub")
@click.option("--port", default=8900, show_default=True, type=click.IntRange(0, 65535), help="Port; 0: a free one.")
@click.option("--token", default="hf_dev", show_default=True, help="Token of the account.")
@click.option("--account", default="dev", show_default=True, help="Name of the account.")
@click.option("--free", is_flag=True, help="The account has no paid plan, so that only static Spaces are free.")
@click.option("--stages", help="Stages of apps after each commit: BUILDING:2,APP_STARTING:1,RUNNING (seconds).")
@click.option("--build-log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Log of every build.")
@click.option("--run-log", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Log of every app.")
@click.option("--latency", default=0.0, help="Seconds that every answer takes.")
@click.option(
    "--fault", "faults", multiple=True, metavar="FAULT", help="Such as 'POST /commit/ 500 x2' or '/api/ drop_after'."
)
def devhub(
    port: int,
    token: str,
    account: str,
    free: bool,
    stages: str | None,
    build_log: Path | None,
    run_log: Path | None,
    latency: float,
    faults: tuple[str, ...],
) -> None:
    """Run a Hub on this machine that speaks the API of the Hugging Face Hub and keeps everything in memory.

    \b
    Faults: [METHOD ]PATH WHAT[:SECONDS][ xTIMES][ after N]. PATH is a regular expression; WHAT is a status,
    or drop_before, drop_after, hang, garbage, truncate; x* for every time.

    Use it with HF_ENDPOINT=http://127.0.0.1:8900 HF_TOKEN=hf_dev assembler serve. It listens on this machine only, and
    builds and runs nothing.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with StandInHub(port) as hub:
        hub.add_account(token, Account(account, is_pro=not free, can_pay=not free))
        hub.settings.latency = latency
        hub.faults.add(*(_parsed(parse_fault, text, "--fault") for text in faults))
        if stages is not None:
            for sdk in _SDKS:
                hub.script(sdk, _parsed(parse_stages, stages, "--stages"))
        hub.settings.build_log = _lines(build_log)
        hub.settings.run_log = _lines(run_log)
        click.echo(f"HF_TOKEN={token} of the account {account}.")
        click.echo(f"The stand-in Hub is ready at {hub.url}")
        stop.wait()


def _parsed(parse: Callable[[str], T], text: str, option: str) -> T:
    try:
        return parse(text)
    except ValueError as problem:
        raise click.BadParameter(f"{text!r} {problem}.", param_hint=option) from None


def _lines(file: Path | None) -> tuple[str, ...]:
    return () if file is None else tuple(file.read_text(encoding="utf-8", errors="replace").splitlines())
