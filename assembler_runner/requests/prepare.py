"""What is asked for, checked and assembled, before anything is stored: the preview ends here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.assembly.assemble import Assembly, assemble, check_input
from assembler_runner.core.database import read_transaction
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.core.settings import Settings
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Content
from assembler_runner.files.paths import MAX_PATH_BYTES, field_of
from assembler_runner.files.tree import SpaceFile
from assembler_runner.plugin import SpacePlugin
from assembler_runner.services import Services
from assembler_runner.targets.hub.files import check_hub_limits
from assembler_runner.targets.namespaces import check_namespace
from assembler_runner.targets.realm_targets import HUB, LOCAL
from assembler_runner.webhooks import webhooks

TREE_FIELDS = frozenset({"files", "archive", "parameters", "options", "space_type", "name", "template", "_schema"})
"""Fields that the tree is made from; `_schema` stands for the body as a whole."""


@dataclass(frozen=True)
class Prepared:
    """A request that is understood, with the tree it would publish.

    Args:
        plugin: its type.
        assembly: the tree and what was noticed.
        given: what the caller sent.
        data: the other fields, checked.
    """

    plugin: SpacePlugin
    assembly: Assembly
    given: Mapping[str, SpaceFile]
    data: Mapping[str, Any]


@read_transaction(keep_open=True)
def prepare(services: Services, account: Account, fields: Fields) -> Prepared:
    """Checks a request and assembles its tree, without storing anything.

    :func:`assemble` checks what concerns the tree; limits, target, machine and callback are checked here.

    Args:
        services: what the process holds.
        account: who is calling.
        fields: the checked fields of the request.
    Returns:
        The request; its tree may still have findings.
    Raises:
        InvalidRequest: with all problems at once.
        PluginError: the plugin broke its contract.
    """
    data = fields.data
    files: Mapping[str, bytes | Content] = data.get("files") or {}
    given = {path: SpaceFile(path, source, "given") for path, source in files.items()}
    too_much = _check_limits(services.settings, given)
    findings = [*fields.findings, *too_much]
    findings += check_target(services, account.realm_id, data)
    findings += webhooks.check(services, data.get("callback_url"), data.get("callback_secret"), "callback_")
    plugin = services.registry.get(data["space_type"]) if "space_type" in data else None
    if plugin is None:
        findings += _unknown_type(services, data["space_type"]) if "space_type" in data else []
        raise InvalidRequest(issues=[*findings, *check_input(files, data.get("parameters"))])
    findings += check_machine(plugin.sdk, data)
    if too_much or fields.invalid & TREE_FIELDS:
        # What a part of the fields would make of the tree says nothing about the request.
        raise InvalidRequest(issues=[*findings, *check_input(files, data.get("parameters"))])
    assembly = assemble(
        plugin,
        files,
        options=data.get("options"),
        parameters=data.get("parameters"),
        name=data.get("name"),
        template=data.get("template"),
    )
    if findings or assembly.invalid_input:
        raise InvalidRequest(issues=[*findings, *assembly.findings])
    if (data.get("target") or services.targets.default(account.realm_id)) == HUB:
        assembly = replace(assembly, findings=[*assembly.findings, *check_hub_limits(assembly.tree)])
    else:
        assembly = replace(assembly, findings=[*assembly.findings, *_unused_locally(data)])
    return Prepared(plugin, assembly, given, data)


def _check_limits(settings: Settings, files: Mapping[str, SpaceFile]) -> list[Finding]:
    findings = []
    if len(files) > settings.MAX_FILES:
        message = f"There are {len(files)} files; at most {settings.MAX_FILES} are taken."
        findings.append(Finding("too_many_files", message, path="files", hint="Send fewer files."))
    for path, file in files.items():
        if file.size > settings.MAX_FILE_BYTES:
            message = f"The file has {file.size} bytes; at most {settings.MAX_FILE_BYTES} are taken."
            findings.append(Finding("file_too_large", message, path=field_of(path), hint="Send a smaller file."))
        findings += _check_length(settings, path)
    total = sum(file.size for file in files.values())
    if total > settings.MAX_SPACE_BYTES:
        message = f"The files have {total} bytes in all; at most {settings.MAX_SPACE_BYTES} are taken."
        findings.append(Finding("files_too_large", message, path="files", hint="Send less."))
    return findings


def _check_length(settings: Settings, path: str) -> list[Finding]:
    length, depth = len(path.encode("utf-8", "replace")), path.count("/") + 1
    # What no service takes is told by the check of the path itself.
    if settings.MAX_PATH_BYTES < length <= MAX_PATH_BYTES:
        message = f"The path has {length} bytes; at most {settings.MAX_PATH_BYTES} are taken."
        return [Finding("path_too_long", message, path=field_of(path), hint="Use shorter names.")]
    if depth > settings.MAX_PATH_DEPTH:
        message = f"The path has {depth} parts; at most {settings.MAX_PATH_DEPTH} are taken."
        return [Finding("path_too_deep", message, path=field_of(path), hint="Use fewer folders in each other.")]
    return []


def check_target(services: Services, realm_id: str, data: Mapping[str, Any]) -> list[Finding]:
    """Finds a target and a namespace that a realm cannot publish to."""
    names = services.targets.names(realm_id)
    target = data.get("target") or services.targets.default(realm_id)
    if target not in names:
        hint = f"Use one of: {', '.join(names)}; for {HUB} the realm needs a Hub token (master: HF_TOKEN)."
        message = f"The target {target} is not available in this realm."
        return [Finding("target_not_available", message, path="target", hint=hint)]
    access = services.targets.access(realm_id) if target == HUB else None
    namespace = data.get("namespace")
    if target == LOCAL and namespace is not None:
        return check_namespace(realm_id, namespace)
    if access is None or access.namespaces is None or namespace is None or namespace in access.namespaces:
        return []
    message = f"The realm may not publish to the namespace {namespace}."
    hint = f"Use one of: {', '.join(access.namespaces)}."
    return [Finding("namespace_not_allowed", message, path="namespace", hint=hint)]


def _unused_locally(data: Mapping[str, Any]) -> list[Finding]:
    """Tells what has no effect on the local target, which runs no apps."""
    message = "The target local runs no apps: {} has no effect, and is not kept for another target."
    return [
        Finding("not_used_locally", message.format(name), "warning", name, hint=f"Leave {name} out, or use a Hub.")
        for name in ("secrets", "hardware", "sleep_time")
        if data.get(name)
    ]


def _unknown_type(services: Services, space_type: str) -> list[Finding]:
    names = ", ".join(plugin.space_type for plugin in services.registry.types())
    message = f"There is no space_type {space_type}."
    return [Finding("unknown_space_type", message, path="space_type", hint=f"Use one of: {names}.")]


def check_machine(sdk: str, data: Mapping[str, Any]) -> list[Finding]:
    """Finds secrets, variables and hardware that do not fit together.

    Args:
        sdk: what the target runs: gradio, docker or static.
        data: the fields that were understood.
    """
    findings = []
    secrets, variables = data.get("secrets") or {}, data.get("variables") or {}
    if sdk == "static":
        if secrets:
            message = "A static Space has no secrets: every visitor could read them."
            findings.append(
                Finding(
                    "secrets_on_static", message, path="secrets", hint="Leave secrets out, or use another space_type."
                )
            )
        for name in ("hardware", "sleep_time"):
            if data.get(name) is not None:
                message = f"A static Space runs on no machine, so it has no {name}."
                findings.append(Finding("machine_on_static", message, path=name, hint=f"Leave {name} out."))
    for key in sorted(set(secrets) & set(variables)):
        message = f"{key} is a secret and a variable at once."
        findings.append(
            Finding("duplicate_variable", message, path=f"variables.{key}", hint="Keep it in one of the two.")
        )
    return findings
