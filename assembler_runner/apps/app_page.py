"""What README.md says of the pages of an app: which is shown first, and with which headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from assembler_runner.assembly.card import README, read_card
from assembler_runner.assembly.preflight.rules.card_keys import CUSTOM_HEADERS
from assembler_runner.files.tree import SpaceFile

_PATH = re.compile(r"/(?![/\\])[!-~]{0,200}")


def app_page(tree: Mapping[str, SpaceFile]) -> dict[str, Any]:
    """Returns `base_path`, empty for none, and `custom_headers`; values that the Hub does not take are left out.

    Args:
        tree: all files of the Space.
    """
    card = read_card(tree[README].content).values if README in tree else {}
    path, headers = str(card.get("base_path") or ""), card.get("custom_headers")
    known = headers.items() if isinstance(headers, dict) else ()
    return {
        "base_path": path if _PATH.fullmatch(path) else "",
        "custom_headers": {name: value for name, value in known if value in CUSTOM_HEADERS.get(name, ())},
    }
