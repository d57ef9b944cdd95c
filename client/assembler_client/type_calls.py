"""Space types, their starter apps, plugins and the codes of findings."""

from __future__ import annotations

from urllib.parse import quote

from assembler_client.models import FindingRule, Plugin, SpaceType, Starter
from assembler_client.sansio.calls import listing, parsed
from assembler_client.sansio.steps import Ask, Call, method


class TypeCalls:
    """Methods for space types and plugins, synchronous and asynchronous."""

    get_space_types = listing("/space-types", SpaceType)

    @method
    def get_space_type(self, name: str) -> Call[SpaceType | None]:
        """Gets one space type by name or name@version, or None if it does not exist."""
        return Call(Ask("GET", f"/space-types/{quote(name, safe='@')}"), parsed(SpaceType), (None,))

    @method
    def get_template(self, name: str, template: str) -> Call[Starter | None]:
        """Gets a starter app of a space type with its files, or None if it does not exist.

        Args:
            name: the space type, as name or name@version.
            template: the name of the starter app.
        """
        path = f"/space-types/{quote(name, safe='@')}/templates/{quote(template, safe='')}"
        return Call(Ask("GET", path), parsed(Starter), (None,))

    get_plugins = listing("/plugins", Plugin)

    @method
    def get_findings(self) -> Call[list[FindingRule]]:
        """Gets all codes of findings: severity, explanation, example, whether there is a fix."""
        return Call(Ask("GET", "/findings"), parsed(FindingRule).many)
