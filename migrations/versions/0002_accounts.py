"""accounts, rights, sessions, Hub credentials and the audit log."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database


revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

TABLE = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
    "mariadb_engine": "InnoDB",
}
NAMESPACE = uuid.UUID("6f1d0a4e-52a7-4a43-9a0c-2f8f6c1b7d10")
VIEWER = ["space_read", "plugin_read", "realm_read", "role_read"]
MEMBER = [*VIEWER, "space_create", "space_update", "space_delete"]
REALM_ADMIN = [
    *MEMBER, "realm_update", "user_read", "user_manage", "robot_read", "robot_manage", "role_manage",
    "hub_credential_read", "hub_credential_manage", "audit_read",
]
ROLES = {"admin": [*REALM_ADMIN, "realm_manage"], "realm_admin": REALM_ADMIN, "member": MEMBER, "viewer": VIEWER}


def upgrade():
    # SQLite makes the table users anew; nothing must refer to it yet.
    with op.batch_alter_table('realms', schema=None) as batch_op:
        batch_op.add_column(sa.Column('share_default_hub', sa.Boolean(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('max_spaces', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('max_requests_per_hour', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('max_bytes', sa.BigInteger(), nullable=True))

    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.add_column(sa.Column('first_name', sa.String(length=128), nullable=True))
        batch_op.add_column(sa.Column('last_name', sa.String(length=128), nullable=True))
        batch_op.add_column(sa.Column('email', sa.String(length=254), nullable=True))
        batch_op.add_column(sa.Column('avatar', sa.String(length=512), nullable=True))
        batch_op.add_column(sa.Column('cover', sa.String(length=512), nullable=True))
        batch_op.add_column(sa.Column('name_locked', sa.Boolean(), server_default='0', nullable=False))
        batch_op.add_column(sa.Column('max_spaces', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('max_requests_per_hour', sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column('max_bytes', sa.BigInteger(), nullable=True))
        batch_op.alter_column('password_hash', existing_type=sa.String(length=255), nullable=True)

    op.create_table('audit_log',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=True),
    sa.Column('actor_kind', sa.String(length=16), nullable=False),
    sa.Column('actor_id', sa.String(length=36), nullable=True),
    sa.Column('actor_name', sa.String(length=64), nullable=False),
    sa.Column('actor_realm_id', sa.String(length=36), nullable=True),
    sa.Column('action', sa.String(length=32), nullable=False),
    sa.Column('object_type', sa.String(length=32), nullable=False),
    sa.Column('object_id', sa.String(length=36), nullable=True),
    sa.Column('object_name', sa.String(length=128), nullable=True),
    sa.Column('address', sa.String(length=64), nullable=True),
    sa.Column('details', assembler_runner.core.database.JsonText(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_audit_log')),
    **TABLE
    )
    with op.batch_alter_table('audit_log', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_audit_log_actor_id'), ['actor_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_log_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_log_object_id'), ['object_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_audit_log_realm_id'), ['realm_id'], unique=False)

    op.create_table('login_sessions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('account_kind', sa.String(length=16), nullable=False),
    sa.Column('account_id', sa.String(length=36), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('expires_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('ended_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_login_sessions')),
    **TABLE
    )
    with op.batch_alter_table('login_sessions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_login_sessions_account_id'), ['account_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_login_sessions_expires_at'), ['expires_at'], unique=False)

    op.create_table('hub_credentials',
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('sealed_token', sa.Text(), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('account_name', sa.String(length=96), nullable=False),
    sa.Column('plan', sa.String(length=16), nullable=False),
    sa.Column('role', sa.String(length=32), nullable=False),
    sa.Column('orgs', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('namespaces', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('default_namespace', sa.String(length=96), nullable=False),
    sa.Column('checked_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_hub_credentials_realm_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('realm_id', name=op.f('pk_hub_credentials')),
    **TABLE
    )
    with op.batch_alter_table('hub_credentials', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_hub_credentials_created_at'), ['created_at'], unique=False)

    op.create_table('permissions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('built_in', sa.Boolean(), nullable=False),
    sa.Column('client_id', sa.String(length=36), nullable=True),
    sa.Column('policy_id', sa.String(length=36), nullable=True),
    sa.Column('realm_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_permissions_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_permissions')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_permissions_realm_id')),
    **TABLE
    )
    with op.batch_alter_table('permissions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_permissions_created_at'), ['created_at'], unique=False)

    op.create_table('refresh_tokens',
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('session_id', sa.String(length=36), nullable=False),
    sa.Column('expires_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('replaced_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['login_sessions.id'], name=op.f('fk_refresh_tokens_session_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('pk_refresh_tokens')),
    **TABLE
    )
    with op.batch_alter_table('refresh_tokens', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_refresh_tokens_session_id'), ['session_id'], unique=False)

    op.create_table('roles',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('target', sa.String(length=16), nullable=True),
    sa.Column('built_in', sa.Boolean(), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_roles_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_roles')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_roles_realm_id')),
    **TABLE
    )
    with op.batch_alter_table('roles', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_roles_created_at'), ['created_at'], unique=False)

    op.create_table('robots',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('built_in', sa.Boolean(), nullable=False),
    sa.Column('user_id', sa.String(length=36), nullable=True),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('redirect_uri', sa.String(length=2048), nullable=True),
    sa.Column('grant_types', sa.String(length=512), nullable=True),
    sa.Column('base_url', sa.String(length=2048), nullable=True),
    sa.Column('auth_method', sa.String(length=16), nullable=False),
    sa.Column('token_binding_method', sa.String(length=16), nullable=False),
    sa.Column('backchannel_logout_uri', sa.String(length=2048), nullable=True),
    sa.Column('post_logout_redirect_uri', sa.String(length=2048), nullable=True),
    sa.Column('secret_hash', sa.String(length=255), nullable=False),
    sa.Column('token_generation', sa.Integer(), nullable=False),
    sa.Column('max_spaces', sa.Integer(), nullable=True),
    sa.Column('max_requests_per_hour', sa.Integer(), nullable=True),
    sa.Column('max_bytes', sa.BigInteger(), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_robots_realm_id')),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_robots_user_id'), ondelete='SET NULL'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_robots')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_robots_realm_id')),
    **TABLE
    )
    with op.batch_alter_table('robots', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_robots_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_robots_user_id'), ['user_id'], unique=False)

    op.create_table('role_permissions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('role_id', sa.String(length=36), nullable=False),
    sa.Column('role_realm_id', sa.String(length=36), nullable=True),
    sa.Column('permission_id', sa.String(length=36), nullable=False),
    sa.Column('permission_realm_id', sa.String(length=36), nullable=True),
    sa.Column('policy_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['permission_id'], ['permissions.id'], name=op.f('fk_role_permissions_permission_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_role_permissions_role_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_role_permissions')),
    sa.UniqueConstraint('role_id', 'permission_id', name=op.f('uq_role_permissions_role_id')),
    **TABLE
    )
    with op.batch_alter_table('role_permissions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_role_permissions_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_role_permissions_permission_id'), ['permission_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_role_permissions_permission_realm_id'), ['permission_realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_role_permissions_role_id'), ['role_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_role_permissions_role_realm_id'), ['role_realm_id'], unique=False)

    op.create_table('user_permissions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('user_realm_id', sa.String(length=36), nullable=False),
    sa.Column('permission_id', sa.String(length=36), nullable=False),
    sa.Column('permission_realm_id', sa.String(length=36), nullable=True),
    sa.Column('policy_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['permission_id'], ['permissions.id'], name=op.f('fk_user_permissions_permission_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_user_permissions_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_permissions')),
    sa.UniqueConstraint('user_id', 'permission_id', name=op.f('uq_user_permissions_user_id')),
    **TABLE
    )
    with op.batch_alter_table('user_permissions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_permissions_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_permissions_permission_id'), ['permission_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_permissions_permission_realm_id'), ['permission_realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_permissions_user_id'), ['user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_permissions_user_realm_id'), ['user_realm_id'], unique=False)

    op.create_table('user_roles',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('user_realm_id', sa.String(length=36), nullable=False),
    sa.Column('role_id', sa.String(length=36), nullable=False),
    sa.Column('role_realm_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_user_roles_role_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_user_roles_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_user_roles')),
    sa.UniqueConstraint('user_id', 'role_id', name=op.f('uq_user_roles_user_id')),
    **TABLE
    )
    with op.batch_alter_table('user_roles', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_user_roles_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_role_id'), ['role_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_role_realm_id'), ['role_realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_user_id'), ['user_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_user_roles_user_realm_id'), ['user_realm_id'], unique=False)

    op.create_table('robot_permissions',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('robot_id', sa.String(length=36), nullable=False),
    sa.Column('robot_realm_id', sa.String(length=36), nullable=False),
    sa.Column('permission_id', sa.String(length=36), nullable=False),
    sa.Column('permission_realm_id', sa.String(length=36), nullable=True),
    sa.Column('policy_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['permission_id'], ['permissions.id'], name=op.f('fk_robot_permissions_permission_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['robot_id'], ['robots.id'], name=op.f('fk_robot_permissions_robot_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_robot_permissions')),
    sa.UniqueConstraint('robot_id', 'permission_id', name=op.f('uq_robot_permissions_robot_id')),
    **TABLE
    )
    with op.batch_alter_table('robot_permissions', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_robot_permissions_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_permissions_permission_id'), ['permission_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_permissions_permission_realm_id'), ['permission_realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_permissions_robot_id'), ['robot_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_permissions_robot_realm_id'), ['robot_realm_id'], unique=False)

    op.create_table('robot_roles',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('robot_id', sa.String(length=36), nullable=False),
    sa.Column('robot_realm_id', sa.String(length=36), nullable=False),
    sa.Column('role_id', sa.String(length=36), nullable=False),
    sa.Column('role_realm_id', sa.String(length=36), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['robot_id'], ['robots.id'], name=op.f('fk_robot_roles_robot_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['role_id'], ['roles.id'], name=op.f('fk_robot_roles_role_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_robot_roles')),
    sa.UniqueConstraint('robot_id', 'role_id', name=op.f('uq_robot_roles_robot_id')),
    **TABLE
    )
    with op.batch_alter_table('robot_roles', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_robot_roles_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_roles_robot_id'), ['robot_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_roles_robot_realm_id'), ['robot_realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_roles_role_id'), ['role_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_robot_roles_role_realm_id'), ['role_realm_id'], unique=False)

    add_built_in()


def add_built_in():
    """Adds the built-in roles, and gives existing users what they could do before there were roles."""
    now = datetime.now(UTC).replace(tzinfo=None)
    moments = {"created_at": now, "updated_at": now}
    connection = op.get_bind()
    tables = sa.MetaData()
    roles, permissions, role_permissions, user_roles, users, realms = (
        sa.Table(name, tables, autoload_with=connection)
        for name in ("roles", "permissions", "role_permissions", "user_roles", "users", "realms")
    )
    for name in ROLES["admin"]:
        row = {"id": built_in_id("permission", name), "name": name, "built_in": True}
        connection.execute(permissions.insert().values(row | moments))
    for name, granted in ROLES.items():
        row = {"id": built_in_id("role", name), "name": name, "built_in": True}
        connection.execute(roles.insert().values(row | moments))
        for permission in granted:
            pair = {"role_id": row["id"], "permission_id": built_in_id("permission", permission)}
            connection.execute(role_permissions.insert().values({"id": str(uuid.uuid4())} | pair | moments))
    query = sa.select(users.c.id, users.c.name, users.c.realm_id, realms.c.name.label("realm"))
    for user in connection.execute(query.join(realms, realms.c.id == users.c.realm_id)).all():
        role = "admin" if (user.realm, user.name) == ("master", "admin") else "member"
        grant = {"user_id": user.id, "user_realm_id": user.realm_id, "role_id": built_in_id("role", role)}
        connection.execute(user_roles.insert().values({"id": str(uuid.uuid4())} | grant | moments))


def built_in_id(kind, name):
    return str(uuid.uuid5(NAMESPACE, f"{kind}:{name}"))


def downgrade():
    op.drop_table('robot_roles')
    op.drop_table('robot_permissions')
    op.drop_table('user_roles')
    op.drop_table('user_permissions')
    op.drop_table('role_permissions')
    op.drop_table('robots')
    op.drop_table('roles')
    op.drop_table('refresh_tokens')
    op.drop_table('permissions')
    op.drop_table('hub_credentials')
    op.drop_table('login_sessions')
    op.drop_table('audit_log')

    # Users without a password have none to keep; the old column wants a value, which no password fits.
    op.execute("UPDATE users SET password_hash = '' WHERE password_hash IS NULL")
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.alter_column('password_hash', existing_type=sa.String(length=255), nullable=False)
        batch_op.drop_column('max_bytes')
        batch_op.drop_column('max_requests_per_hour')
        batch_op.drop_column('max_spaces')
        batch_op.drop_column('name_locked')
        batch_op.drop_column('cover')
        batch_op.drop_column('avatar')
        batch_op.drop_column('email')
        batch_op.drop_column('last_name')
        batch_op.drop_column('first_name')

    # Plain statements: SQLite cannot drop a table that others refer to, as it would in making it anew.
    for column in ('max_bytes', 'max_requests_per_hour', 'max_spaces', 'share_default_hub'):
        op.drop_column('realms', column)
