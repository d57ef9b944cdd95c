"""What an account of the Hub may create, known before the Hub is asked.

Static Spaces are free; gradio and docker Spaces on cpu-basic need a paid plan, and paid hardware needs a payment method
(pricing of the Hugging Face Hub, July 2026). What an organization has booked is not known, so its Spaces pass.
"""

from __future__ import annotations

from collections.abc import Iterator

from assembler_runner.core.errors import Finding
from assembler_runner.targets.hub.account import HubAccount

READ_ONLY = "read"
FREE_HARDWARE = (None, "cpu-basic")
ZEROGPU = "zero-a10g"


def check_account(
    account: HubAccount, sdk: str, namespace: str | None, hardware: str | None, visibility: str | None
) -> list[Finding]:
    """Finds why an account may not create a Space.

    Args:
        account: the account, as last learned.
        sdk: the SDK that the Hub runs: gradio, docker or static.
        namespace: where the Space is to be; None for the account's own namespace.
        hardware: the requested hardware; None for the Hub's default.
        visibility: the requested visibility; None for public.
    Returns:
        One finding for each reason. The account may have changed since it was learned, so the caller can allow them.
    """
    return list(_reasons(account, sdk, namespace or account.name, hardware, visibility))


def _reasons(
    account: HubAccount, sdk: str, namespace: str, hardware: str | None, visibility: str | None
) -> Iterator[Finding]:
    values = {"account": account.name, "plan": account.plan, "namespace": namespace}
    if account.role == READ_ONLY:
        message = f"The Hub token of {account.name} may only read."
        yield Finding("token_only_reads", message, path="target", hint="Set a token with write access.", values=values)
    if namespace not in account.namespaces:
        message = f"The Hub token of {account.name} may not write to the namespace {namespace}."
        hint = f"Use one of: {', '.join(account.namespaces)}."
        yield Finding("namespace_not_writable", message, path="namespace", hint=hint, values=values)
    if namespace != account.name or account.plan != "free":
        return
    if sdk != "static" and hardware in FREE_HARDWARE:
        message = f"The Hub runs {sdk} Spaces on cpu-basic only for accounts with a paid plan; {account.name} has none."
        yield Finding("plan_required", message, path="space_type", hint=_choices(account, sdk), values=values)
    if visibility == "protected":
        message = f"Protected Spaces need a paid plan; {account.name} has none."
        yield Finding("plan_required", message, path="visibility", hint="Use public or private.", values=values)
    if hardware not in (*FREE_HARDWARE, ZEROGPU) and account.can_pay is False:
        message = f"The hardware {hardware} needs a payment method; {account.name} has none."
        hint = "Leave hardware out, or add a payment method on the Hub."
        yield Finding("payment_method_required", message, path="hardware", hint=hint, values=values)


def _choices(account: HubAccount, sdk: str) -> str:
    choices = ["space_type static, which is free"]
    if sdk == "gradio":
        choices.append(f"hardware {ZEROGPU} (ZeroGPU)")
    if others := [name for name in account.namespaces if name != account.name]:
        choices.append(f"another namespace ({', '.join(others[:5])})")
    choices.append("a PRO subscription")
    return f"Choose one of: {'; '.join(choices)}."
