"""Apps that the service runs itself."""

from __future__ import annotations

from assembler_client.models import Opened
from assembler_client.sansio.calls import parsed
from assembler_client.sansio.steps import Ask, Call, method
from assembler_client.types import Ref, id_of


class AppCalls:
    """Methods for apps, synchronous and asynchronous."""

    @method
    def open_app(self, space: Ref) -> Call[Opened]:
        """Gets the URL of a Space's app; if the Space is private, with a ticket that works once, within 60 seconds."""
        return Call(Ask("POST", f"/spaces/{id_of(space)}/open", repeatable=False), parsed(Opened))
