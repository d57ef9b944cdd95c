"""Accounts, roles, permissions and tokens: everything below /auth."""

from __future__ import annotations

from typing import Unpack
from urllib.parse import quote

from assembler_client.errors import NotFound
from assembler_client.inputs import (
    ClientFields,
    GitCredentialFields,
    HubCredentialFields,
    PermissionFields,
    RealmFields,
    RobotFields,
    RoleFields,
    SelfFields,
    UserFields,
    body_of,
)
from assembler_client.models.accounts import (
    Audit,
    Client,
    ClientPermission,
    ClientRole,
    GitCredential,
    HubCredential,
    Me,
    Permission,
    Realm,
    Robot,
    RobotPermission,
    RobotRole,
    Role,
    RolePermission,
    User,
    UserPermission,
    UserRole,
)
from assembler_client.sansio.calls import (
    create,
    delete,
    finding,
    finding_one,
    getting,
    iterating,
    listing,
    parsed,
    update,
)
from assembler_client.sansio.steps import Ask, Call, Flow, Send, method
from assembler_client.token_calls import TokenCalls
from assembler_client.transport import AsyncClient, SyncClient
from assembler_client.types import Ref, id_of


class AuthCalls(TokenCalls):
    """Methods for everything below /auth, synchronous and asynchronous."""

    @method
    def get_me(self) -> Flow[Me]:
        """Gets the calling account, a person or a robot, with its permissions."""
        try:
            return (yield from Call(Ask("GET", "/auth/users/@me"), parsed(Me)))
        except NotFound:
            return (yield from Call(Ask("GET", "/auth/robots/@me"), parsed(Me)))

    @method
    def update_me(self, **fields: Unpack[SelfFields]) -> Call[Me]:
        """Updates the calling account; a new `password` requires `current_password`."""
        return Call(Ask("POST", "/auth/users/@me", json=body_of(SelfFields, fields)), parsed(Me))

    @method
    def revoke_token(self, token: str) -> Flow[None]:
        """Revokes a token and all other tokens of the same login."""
        yield Send(Ask("POST", "/auth/token/revoke", json={"token": token}))

    get_realm = getting("/auth/realms", Realm)
    get_realms = listing("/auth/realms", Realm)
    find_realms = finding("/auth/realms", Realm)
    find_one_realm = finding_one("/auth/realms", Realm)
    iter_realms = iterating("/auth/realms", Realm)

    @method
    def create_realm(self, **fields: Unpack[RealmFields]) -> Call[Realm]:
        """Creates a realm; `name` is required."""
        return create("/auth/realms", RealmFields, fields, Realm)

    @method
    def update_realm(self, ref: Ref, **fields: Unpack[RealmFields]) -> Call[Realm]:
        """Updates the given fields of a realm; None means null."""
        return update("/auth/realms", ref, RealmFields, fields, Realm)

    @method
    def delete_realm(self, ref: Ref) -> Flow[None]:
        """Deletes a realm."""
        return delete("/auth/realms", ref)

    get_user = getting("/auth/users", User)
    get_users = listing("/auth/users", User)
    find_users = finding("/auth/users", User)
    find_one_user = finding_one("/auth/users", User)
    iter_users = iterating("/auth/users", User)

    @method
    def create_user(self, **fields: Unpack[UserFields]) -> Call[User]:
        """Creates a user; `name` is required."""
        return create("/auth/users", UserFields, fields, User)

    @method
    def update_user(self, ref: Ref, **fields: Unpack[UserFields]) -> Call[User]:
        """Updates the given fields of a user; None means null."""
        return update("/auth/users", ref, UserFields, fields, User)

    @method
    def delete_user(self, ref: Ref) -> Flow[None]:
        """Deletes a user."""
        return delete("/auth/users", ref)

    get_robot = getting("/auth/robots", Robot)
    get_robots = listing("/auth/robots", Robot)
    find_robots = finding("/auth/robots", Robot)
    find_one_robot = finding_one("/auth/robots", Robot)
    iter_robots = iterating("/auth/robots", Robot)

    @method
    def create_robot(self, **fields: Unpack[RobotFields]) -> Call[Robot]:
        """Creates a robot; `name` is required."""
        return create("/auth/robots", RobotFields, fields, Robot)

    @method
    def update_robot(self, ref: Ref, **fields: Unpack[RobotFields]) -> Call[Robot]:
        """Updates the given fields of a robot; None means null."""
        return update("/auth/robots", ref, RobotFields, fields, Robot)

    @method
    def delete_robot(self, ref: Ref) -> Flow[None]:
        """Deletes a robot."""
        return delete("/auth/robots", ref)

    get_client = getting("/auth/clients", Client)
    get_clients = listing("/auth/clients", Client)
    find_clients = finding("/auth/clients", Client)
    find_one_client = finding_one("/auth/clients", Client)
    iter_clients = iterating("/auth/clients", Client)

    @method
    def create_client(self, **fields: Unpack[ClientFields]) -> Call[Client]:
        """Creates a client; `name` is required."""
        return create("/auth/clients", ClientFields, fields, Client)

    @method
    def update_client(self, ref: Ref, **fields: Unpack[ClientFields]) -> Call[Client]:
        """Updates the given fields of a client; None means null."""
        return update("/auth/clients", ref, ClientFields, fields, Client)

    @method
    def delete_client(self, ref: Ref) -> Flow[None]:
        """Deletes a client."""
        return delete("/auth/clients", ref)

    get_role = getting("/auth/roles", Role)
    get_roles = listing("/auth/roles", Role)
    find_roles = finding("/auth/roles", Role)
    find_one_role = finding_one("/auth/roles", Role)
    iter_roles = iterating("/auth/roles", Role)

    @method
    def create_role(self, **fields: Unpack[RoleFields]) -> Call[Role]:
        """Creates a role; `name` is required."""
        return create("/auth/roles", RoleFields, fields, Role)

    @method
    def update_role(self, ref: Ref, **fields: Unpack[RoleFields]) -> Call[Role]:
        """Updates the given fields of a role; None means null."""
        return update("/auth/roles", ref, RoleFields, fields, Role)

    @method
    def delete_role(self, ref: Ref) -> Flow[None]:
        """Deletes a role."""
        return delete("/auth/roles", ref)

    get_permission = getting("/auth/permissions", Permission)
    get_permissions = listing("/auth/permissions", Permission)
    find_permissions = finding("/auth/permissions", Permission)
    find_one_permission = finding_one("/auth/permissions", Permission)
    iter_permissions = iterating("/auth/permissions", Permission)

    @method
    def create_permission(self, **fields: Unpack[PermissionFields]) -> Call[Permission]:
        """Creates a permission; `name` is required."""
        return create("/auth/permissions", PermissionFields, fields, Permission)

    @method
    def update_permission(self, ref: Ref, **fields: Unpack[PermissionFields]) -> Call[Permission]:
        """Updates the given fields of a permission; None means null."""
        return update("/auth/permissions", ref, PermissionFields, fields, Permission)

    @method
    def delete_permission(self, ref: Ref) -> Flow[None]:
        """Deletes a permission."""
        return delete("/auth/permissions", ref)

    get_role_permission = getting("/auth/role-permissions", RolePermission)
    get_role_permissions = listing("/auth/role-permissions", RolePermission)
    find_role_permissions = finding("/auth/role-permissions", RolePermission)
    find_one_role_permission = finding_one("/auth/role-permissions", RolePermission)
    iter_role_permissions = iterating("/auth/role-permissions", RolePermission)

    @method
    def create_role_permission(self, role: Ref, permission: Ref) -> Call[RolePermission]:
        """Grants a permission to a role."""
        body = {"role_id": id_of(role), "permission_id": id_of(permission)}
        return Call(Ask("POST", "/auth/role-permissions", json=body, repeatable=False), parsed(RolePermission))

    @method
    def delete_role_permission(self, ref: Ref) -> Flow[None]:
        """Revokes a permission from a role; `ref` is the RolePermission."""
        return delete("/auth/role-permissions", ref)

    get_user_role = getting("/auth/user-roles", UserRole)
    get_user_roles = listing("/auth/user-roles", UserRole)
    find_user_roles = finding("/auth/user-roles", UserRole)
    find_one_user_role = finding_one("/auth/user-roles", UserRole)
    iter_user_roles = iterating("/auth/user-roles", UserRole)

    @method
    def create_user_role(self, user: Ref, role: Ref) -> Call[UserRole]:
        """Assigns a role to a user."""
        body = {"user_id": id_of(user), "role_id": id_of(role)}
        return Call(Ask("POST", "/auth/user-roles", json=body, repeatable=False), parsed(UserRole))

    @method
    def delete_user_role(self, ref: Ref) -> Flow[None]:
        """Removes a role from a user; `ref` is the UserRole."""
        return delete("/auth/user-roles", ref)

    get_user_permission = getting("/auth/user-permissions", UserPermission)
    get_user_permissions = listing("/auth/user-permissions", UserPermission)
    find_user_permissions = finding("/auth/user-permissions", UserPermission)
    find_one_user_permission = finding_one("/auth/user-permissions", UserPermission)
    iter_user_permissions = iterating("/auth/user-permissions", UserPermission)

    @method
    def create_user_permission(self, user: Ref, permission: Ref) -> Call[UserPermission]:
        """Grants a permission to a user."""
        body = {"user_id": id_of(user), "permission_id": id_of(permission)}
        return Call(Ask("POST", "/auth/user-permissions", json=body, repeatable=False), parsed(UserPermission))

    @method
    def delete_user_permission(self, ref: Ref) -> Flow[None]:
        """Revokes a permission from a user; `ref` is the UserPermission."""
        return delete("/auth/user-permissions", ref)

    get_robot_role = getting("/auth/robot-roles", RobotRole)
    get_robot_roles = listing("/auth/robot-roles", RobotRole)
    find_robot_roles = finding("/auth/robot-roles", RobotRole)
    find_one_robot_role = finding_one("/auth/robot-roles", RobotRole)
    iter_robot_roles = iterating("/auth/robot-roles", RobotRole)

    @method
    def create_robot_role(self, robot: Ref, role: Ref) -> Call[RobotRole]:
        """Assigns a role to a robot."""
        body = {"robot_id": id_of(robot), "role_id": id_of(role)}
        return Call(Ask("POST", "/auth/robot-roles", json=body, repeatable=False), parsed(RobotRole))

    @method
    def delete_robot_role(self, ref: Ref) -> Flow[None]:
        """Removes a role from a robot; `ref` is the RobotRole."""
        return delete("/auth/robot-roles", ref)

    get_robot_permission = getting("/auth/robot-permissions", RobotPermission)
    get_robot_permissions = listing("/auth/robot-permissions", RobotPermission)
    find_robot_permissions = finding("/auth/robot-permissions", RobotPermission)
    find_one_robot_permission = finding_one("/auth/robot-permissions", RobotPermission)
    iter_robot_permissions = iterating("/auth/robot-permissions", RobotPermission)

    @method
    def create_robot_permission(self, robot: Ref, permission: Ref) -> Call[RobotPermission]:
        """Grants a permission to a robot."""
        body = {"robot_id": id_of(robot), "permission_id": id_of(permission)}
        return Call(Ask("POST", "/auth/robot-permissions", json=body, repeatable=False), parsed(RobotPermission))

    @method
    def delete_robot_permission(self, ref: Ref) -> Flow[None]:
        """Revokes a permission from a robot; `ref` is the RobotPermission."""
        return delete("/auth/robot-permissions", ref)

    get_client_role = getting("/auth/client-roles", ClientRole)
    get_client_roles = listing("/auth/client-roles", ClientRole)
    find_client_roles = finding("/auth/client-roles", ClientRole)
    find_one_client_role = finding_one("/auth/client-roles", ClientRole)
    iter_client_roles = iterating("/auth/client-roles", ClientRole)

    @method
    def create_client_role(self, client: Ref, role: Ref) -> Call[ClientRole]:
        """Assigns a role to a client."""
        body = {"client_id": id_of(client), "role_id": id_of(role)}
        return Call(Ask("POST", "/auth/client-roles", json=body, repeatable=False), parsed(ClientRole))

    @method
    def delete_client_role(self, ref: Ref) -> Flow[None]:
        """Removes a role from a client; `ref` is the ClientRole."""
        return delete("/auth/client-roles", ref)

    get_client_permission = getting("/auth/client-permissions", ClientPermission)
    get_client_permissions = listing("/auth/client-permissions", ClientPermission)
    find_client_permissions = finding("/auth/client-permissions", ClientPermission)
    find_one_client_permission = finding_one("/auth/client-permissions", ClientPermission)
    iter_client_permissions = iterating("/auth/client-permissions", ClientPermission)

    @method
    def create_client_permission(self, client: Ref, permission: Ref) -> Call[ClientPermission]:
        """Grants a permission to a client."""
        body = {"client_id": id_of(client), "permission_id": id_of(permission)}
        return Call(Ask("POST", "/auth/client-permissions", json=body, repeatable=False), parsed(ClientPermission))

    @method
    def delete_client_permission(self, ref: Ref) -> Flow[None]:
        """Revokes a permission from a client; `ref` is the ClientPermission."""
        return delete("/auth/client-permissions", ref)

    get_audit_entries = listing("/auth/audit-log", Audit)
    find_audit_entries = finding("/auth/audit-log", Audit)
    iter_audit_entries = iterating("/auth/audit-log", Audit)

    @method
    def get_audit_entry(self, id: int) -> Call[Audit | None]:
        """Gets one entry of the audit log, or None if it does not exist."""
        return Call(Ask("GET", f"/auth/audit-log/{int(id)}"), parsed(Audit), (None,))

    @method
    def get_hub_credential(self, realm: Ref) -> Call[HubCredential | None]:
        """Gets the Hub account a realm publishes with, or None if it has no token of its own."""
        return Call(Ask("GET", f"/auth/realms/{id_of(realm)}/hub-credential"), parsed(HubCredential), (None,))

    @method
    def set_hub_credential(self, realm: Ref, **fields: Unpack[HubCredentialFields]) -> Call[HubCredential]:
        """Sets the Hub token of a realm; it is checked first."""
        body = body_of(HubCredentialFields, fields)
        return Call(Ask("PUT", f"/auth/realms/{id_of(realm)}/hub-credential", json=body), parsed(HubCredential))

    @method
    def delete_hub_credential(self, realm: Ref) -> Flow[None]:
        """Removes the Hub token of a realm."""
        yield Send(Ask("DELETE", f"/auth/realms/{id_of(realm)}/hub-credential"))

    @method
    def get_git_credentials(self, realm: Ref) -> Call[list[GitCredential]]:
        """Lists the git hosts that a realm has credentials for."""
        return Call(Ask("GET", f"/auth/realms/{id_of(realm)}/git-credentials"), parsed(GitCredential).many)

    @method
    def set_git_credential(self, realm: Ref, host: str, **fields: Unpack[GitCredentialFields]) -> Call[GitCredential]:
        """Sets the credentials of a realm for a git host."""
        body = body_of(GitCredentialFields, fields)
        path = f"/auth/realms/{id_of(realm)}/git-credentials/{quote(host, safe='')}"
        return Call(Ask("PUT", path, json=body), parsed(GitCredential))

    @method
    def delete_git_credential(self, realm: Ref, host: str) -> Flow[None]:
        """Removes the credentials of a realm for a git host."""
        yield Send(Ask("DELETE", f"/auth/realms/{id_of(realm)}/git-credentials/{quote(host, safe='')}"))


class AuthClient(AuthCalls, SyncClient):
    """Realms, users, robots, clients, roles, permissions, the audit log."""


class AsyncAuthClient(AuthCalls, AsyncClient):
    """The asyncio counterpart of :class:`AuthClient`."""
