"""Validates a request and assembles its tree before anything is stored; a preview needs no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from assembler_runner.accounts.permissions import Account
from assembler_runner.assembly.card import README
from assembler_runner.assembly.registry import Registry
from assembler_runner.core.database import read_transaction
from assembler_runner.core.errors import Finding, InvalidRequest
from assembler_runner.core.settings import Settings
from assembler_runner.core.validation import Fields
from assembler_runner.files.content import Content
from assembler_runner.files.paths import MAX_PATH_BYTES, field_of
from assembler_runner.files.tree import SpaceFile
from assembler_runner.plugin import SpacePlugin
from assembler_runner.requests.flame_rules import check_flame, check_project
from assembler_runner.requests.publisher import check_publisher, publisher_of
from assembler_runner.services import Services
from assembler_runner.targets.hub.entitlement import check_account
from assembler_runner.targets.hub.files import check_hub_limits
from assembler_runner.targets.local.running import HARDWARE
from assembler_runner.targets.namespaces import check_namespace
from assembler_runner.targets.realm_targets import HUB, LOCAL
from assembler_runner.webhooks import webhooks

if TYPE_CHECKING:  # imported with the first request, because the checks of files take 30 ms and 5 MB
    from assembler_runner.assembly.assemble import Assembly
    from assembler_runner.assembly.recognised import Hint, Recognised

DEFAULT_TYPE = "gradio"
"""The type of files that are of no known kind."""

TREE_FIELDS = frozenset({"files", "archive", "parameters", "options", "space_type", "name", "template", "_schema"})
"""Fields that the tree is assembled from; `_schema` means the body as a whole."""


@dataclass(frozen=True)
class Prepared:
    """A validated request with the tree it would publish.

    Args:
        plugin: the plugin of its space type.
    assembly: the tree and its findings.
    given: the files that the caller sent, after fixes.
    data: all validated fields.
    allowed: errors that the caller allows.
    """

    plugin: SpacePlugin
    assembly: Assembly
    given: Mapping[str, SpaceFile]
    data: Mapping[str, Any]
    allowed: tuple[Finding, ...] = ()


@read_transaction(keep_open=True)
def prepare(services: Services, account: Account, fields: Fields) -> Prepared:
    """Validates a request and assembles its tree, without storing anything.

    :func:`assemble` checks everything that concerns the tree; limits, target, hardware and callback are checked here.

    Args:
        services: the services of this process.
        account: the caller.
        fields: the validated fields of the request.
    Returns:
        The request; its tree may still have findings.
    Raises:
        InvalidRequest: with all problems at once.
        PluginError: the plugin broke its contract.
    """
    data = fields.data
    publisher_id = publisher_of(account, data)
    target = data.get("target") or services.targets.default(account.realm_id)
    findings = check_publisher(services.settings, account, target, data) if publisher_id is not None else []
    if publisher_id is None:
        findings += check_target(services, account.realm_id, data)
    findings += webhooks.check(services, data.get("callback_url"), data.get("callback_secret"), "callback_")
    findings += _check_verify(services.settings, data)

    def notes(sdk: str) -> list[Finding]:
        if target == LOCAL:
            return _unused_locally(data, services.targets.local.runs_apps)
        # What the account of a person may do is known to the Hub alone.
        return _check_account(services, account.realm_id, sdk, data) if publisher_id is None else []

    return prepare_tree(services.registry, services.settings, fields, target, findings, notes)


def prepare_tree(
    registry: Registry,
    settings: Settings,
    fields: Fields,
    target: str,
    others: Sequence[Finding] = (),
    notes: Callable[[str], Sequence[Finding]] = lambda sdk: (),
) -> Prepared:
    """Validates all of a request that concerns neither accounts nor stored objects, and assembles its tree.

    Args:
        registry: the space types.
        settings: the limits.
        fields: the validated fields of the request.
        target: name of the target.
        others: problems that other checks found, reported with those of the tree.
        notes: returns further findings for the SDK of the type.
    Returns:
        The request; its tree may still have findings.
    Raises:
        InvalidRequest: with all problems at once.
        PluginError: the plugin broke its contract.
    """
    from assembler_runner.assembly.assemble import check_input
    from assembler_runner.assembly.options import check_given_options
    from assembler_runner.assembly.preflight.check import allowed, wrong_codes

    data = fields.data
    files: Mapping[str, bytes | Content] = data.get("files") or {}
    adopted = data.get("adopted") or ()
    given: Mapping[str, SpaceFile] = {
        path: SpaceFile(path, source, "adopted" if path in adopted else "given") for path, source in files.items()
    }
    too_much = check_amount(settings, {path: file.size for path, file in given.items()})
    findings = [*fields.findings, *too_much, *others, *wrong_codes(data.get("allow") or ())]
    recognised = _recognised(registry, fields, given)
    space_type = data.get("space_type") or (recognised and (recognised.space_type or DEFAULT_TYPE))
    plugin = registry.get(space_type) if space_type else None
    if plugin is None:
        findings += _unknown_type(registry, space_type) if space_type else []
        raise InvalidRequest(issues=[*findings, *check_input(files, data.get("parameters"))])
    findings += [*check_machine(plugin.sdk, data), *check_flame(plugin.sdk, target, data)]
    if too_much or fields.invalid & TREE_FIELDS:
        # A tree assembled from only some of the fields would yield misleading findings.
        findings += check_given_options(plugin, data.get("options") or {})
        raise InvalidRequest(issues=[*findings, *check_input(files, data.get("parameters"))])
    assembly, given = _assembled(plugin, given, data, target, recognised)
    if findings or assembly.invalid_input:
        raise InvalidRequest(issues=[*findings, *assembly.findings])
    found = [*data.get("remarks", ()), *_about_type(recognised, data), *assembly.findings]
    if target == HUB:
        found += check_hub_limits(assembly.tree)
    found, passed = allowed([*found, *notes(plugin.sdk)], data.get("allow") or ())
    return Prepared(plugin, replace(assembly, findings=found), given, data, tuple(passed))


def _recognised(registry: Registry, fields: Fields, given: Mapping[str, SpaceFile]) -> Recognised | None:
    """Recognizes the type of files for which none is named; None where one is named, or a starter app is."""
    from assembler_runner.assembly.recognise import recognise

    data = fields.data
    if "space_type" in data or "space_type" in fields.invalid or data.get("template"):
        return None
    return recognise(given, [plugin.space_type for plugin in registry.types()], type_hints(registry))


def type_hints(registry: Registry) -> list[Hint]:
    """Returns what plugins say of the files of their types."""
    from assembler_runner.assembly.recognised import Hint

    return [
        Hint(plugin.space_type, rule.files, rule.imports, rule.packages)
        for plugin in registry.types()
        if (rule := plugin.recognition) is not None
    ]


def _about_type(recognised: Recognised | None, data: Mapping[str, Any]) -> list[Finding]:
    if recognised is None:
        return []
    hint = "Name the type in space_type."
    if recognised.space_type is None:
        message = f"No type is named and none was recognized, so {DEFAULT_TYPE} was assumed. {recognised.reason}"
        return [Finding("type_assumed", message, "warning", "space_type", hint=hint)]
    message = f"No type is named; {recognised.space_type} was recognized: {recognised.reason}"
    return [Finding("type_recognized", message, "info", "space_type", hint=f"To choose another one: {hint}")]


def _assembled(
    plugin: SpacePlugin,
    given: Mapping[str, SpaceFile],
    data: Mapping[str, Any],
    target: str,
    recognised: Recognised | None,
) -> tuple[Assembly, Mapping[str, SpaceFile]]:
    """Assembles the tree, with safe fixes if they are asked for; returns it and the given files after the fixes."""
    from assembler_runner.assembly.assemble import Destination, assemble
    from assembler_runner.assembly.preflight.check import apply_safe_fixes
    from assembler_runner.assembly.preflight.rules.card_keys import readme_of

    def made(files: Mapping[str, SpaceFile], options: Mapping[str, Any] | None) -> Assembly:
        return assemble(
            plugin,
            files,
            options=options,
            parameters=data.get("parameters"),
            name=data.get("name"),
            template=data.get("template"),
            destination=Destination(
                data.get("visibility", "public") == "public",
                target,
                data.get("hardware"),
                data.get("variables") or {},
            ),
            recognised=recognised if recognised is not None and recognised.space_type else None,
        )

    assembly = made(given, data.get("options"))
    if data.get("fixes") != "safe" or assembly.context is None:
        return assembly, given
    fixed = apply_safe_fixes(assembly.context)
    if not fixed.done:
        return assembly, given
    kept = {README if path == readme_of(given) else path for path in given}
    changed = {path: file for path, file in fixed.files.items() if path in kept or file.origin == "fixed"}
    assembly = made(changed, {**(data.get("options") or {}), **fixed.options})
    said = [
        Finding("fixed", f"{finding.fix.title}.", "info", finding.path, finding.line, values={"code": finding.code})
        for finding in fixed.done
        if finding.fix is not None
    ]
    return replace(assembly, findings=[*said, *assembly.findings]), changed


def check_amount(settings: Settings, files: Mapping[str, int]) -> list[Finding]:
    """Checks the number, the sizes and the paths of files against the limits of the service.

    Args:
        settings: the limits.
        files: path → size in bytes.
    """
    findings = []
    if len(files) > settings.MAX_FILES:
        message = f"There are {len(files)} files; at most {settings.MAX_FILES} are allowed."
        findings.append(Finding("too_many_files", message, path="files", hint="Send fewer files."))
    for path, size in files.items():
        if size > settings.MAX_FILE_BYTES:
            message = f"The file has {size} bytes; at most {settings.MAX_FILE_BYTES} are allowed."
            findings.append(Finding("file_too_large", message, path=field_of(path), hint="Send a smaller file."))
        findings += _check_length(settings, path)
    total = sum(files.values())
    if total > settings.MAX_SPACE_BYTES:
        message = f"The files have {total} bytes in total; at most {settings.MAX_SPACE_BYTES} are allowed."
        findings.append(Finding("files_too_large", message, path="files", hint="Send fewer or smaller files."))
    return findings


def _check_length(settings: Settings, path: str) -> list[Finding]:
    length, depth = len(path.encode("utf-8", "replace")), path.count("/") + 1
    # Longer paths, which no service accepts, are reported by check_path.
    if settings.MAX_PATH_BYTES < length <= MAX_PATH_BYTES:
        message = f"The path has {length} bytes; at most {settings.MAX_PATH_BYTES} are allowed."
        return [Finding("path_too_long", message, path=field_of(path), hint="Use shorter names.")]
    if depth > settings.MAX_PATH_DEPTH:
        message = f"The path has {depth} parts; at most {settings.MAX_PATH_DEPTH} are allowed."
        return [Finding("path_too_deep", message, path=field_of(path), hint="Use fewer nested folders.")]
    return []


def check_target(services: Services, realm_id: str, data: Mapping[str, Any]) -> list[Finding]:
    """Checks that a realm may publish to the requested target and namespace.

    Args:
        services: the services of this process.
        realm_id: the realm.
        data: the validated fields of the request.
    Returns:
        One finding if it may not, else an empty list.
    """
    target = data.get("target") or services.targets.default(realm_id)
    # Every realm has the target local; to look up the others costs a query.
    if target != LOCAL and target not in (names := services.targets.names(realm_id)):
        hint = f"Use one of: {', '.join(names)}; for {HUB} the realm needs a Hub token (master: HF_TOKEN)."
        message = f"The target {target} is not available in this realm."
        return [Finding("target_not_available", message, path="target", hint=hint)]
    access = services.targets.access(realm_id) if target == HUB else None
    namespace = data.get("namespace")
    if target == LOCAL and namespace is not None:
        return check_namespace(realm_id, namespace)
    if missing := check_project(target, namespace):
        return missing
    if access is None or access.namespaces is None or namespace is None or namespace in access.namespaces:
        return []
    message = f"This realm may not publish to the namespace {namespace}."
    hint = f"Use one of: {', '.join(access.namespaces)}."
    return [Finding("namespace_not_allowed", message, path="namespace", hint=hint)]


def _check_account(services: Services, realm_id: str, sdk: str, data: Mapping[str, Any]) -> list[Finding]:
    known = services.targets.account(realm_id)
    if known is None:
        return []
    namespace = data.get("namespace") or services.targets.own_namespace(realm_id)
    visibility = data.get("visibility")
    if "adopted" in data:
        # An update of a Space that exists: the plan decides only what may be created.
        sdk, visibility = "static", None
    found = check_account(known, sdk, namespace, data.get("hardware"), visibility)
    if found:
        # The account may have changed; the next request should be checked against what it is now.
        services.targets.learn_account()
    return found


def _check_verify(settings: Settings, data: Mapping[str, Any]) -> list[Finding]:
    if not data.get("verify") or settings.runs_apps:
        return []
    message = "This service runs no apps, so it cannot run this one first."
    return [Finding("verify_not_available", message, path="verify", hint="Leave verify out, or set APPS.")]


def _unused_locally(data: Mapping[str, Any], runs_apps: bool) -> list[Finding]:
    """Tells what has no effect on the local target, which runs apps on this machine or not at all."""
    if runs_apps:
        hardware = data.get("hardware")
        if hardware in (None, HARDWARE):
            return []
        message = f"The target local runs apps on this machine: hardware {hardware} has no effect."
        return [Finding("not_used_locally", message, "warning", "hardware", hint="Leave hardware out, or use a Hub.")]
    message = "The target local runs no apps: {} has no effect, and is not kept for another target."
    return [
        Finding("not_used_locally", message.format(name), "warning", name, hint=f"Leave {name} out, or use a Hub.")
        for name in ("secrets", "hardware", "sleep_time")
        if data.get(name)
    ]


def _unknown_type(registry: Registry, space_type: str) -> list[Finding]:
    names = ", ".join(plugin.space_type for plugin in registry.types())
    message = f"There is no space_type {space_type}."
    return [Finding("unknown_space_type", message, path="space_type", hint=f"Use one of: {names}.")]


def check_machine(sdk: str, data: Mapping[str, Any]) -> list[Finding]:
    """Finds conflicts between secrets, variables, hardware and the SDK.

    Args:
        sdk: the SDK that the target runs: gradio, docker or static.
        data: the validated fields.
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
                message = f"A static Space does not run on hardware, so it has no {name}."
                findings.append(Finding("machine_on_static", message, path=name, hint=f"Leave {name} out."))
    for key in sorted(set(secrets) & set(variables)):
        message = f"{key} is both a secret and a variable."
        findings.append(
            Finding("duplicate_variable", message, path=f"variables.{key}", hint="Send it as one of the two.")
        )
    return findings
