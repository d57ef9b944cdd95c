"""Run the stand-in as a process of its own: python -m tests.support.standin_hub --port 8900."""

from __future__ import annotations

import argparse
import signal
import threading

from .hub import StandInHub


def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with StandInHub(parser.parse_args().port) as hub:
        print(f"The stand-in Hub is ready at {hub.url}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
