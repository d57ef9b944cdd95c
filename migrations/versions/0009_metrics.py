"""who may read the metrics."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

NAMESPACE = uuid.UUID("6f1d0a4e-52a7-4a43-9a0c-2f8f6c1b7d10")
PERMISSION, ROLE, ADMIN = (
    str(uuid.uuid5(NAMESPACE, name)) for name in ("permission:metrics_read", "role:monitor", "role:admin")
)
MOMENTS = [(name, assembler_runner.core.database.UtcDateTime()) for name in ("created_at", "updated_at")]


def table(name, *columns):
    return sa.Table(name, sa.MetaData(), *(sa.Column(column, kind) for column, kind in [*columns, *MOMENTS]))


WORDS = [("id", sa.String), ("name", sa.String), ("description", sa.Text), ("built_in", sa.Boolean)]
permissions, roles = table("permissions", *WORDS), table("roles", *WORDS)
role_permissions = table("role_permissions", ("id", sa.String), ("role_id", sa.String), ("permission_id", sa.String))


def upgrade():
    connection = op.get_bind()
    if connection.scalar(sa.select(roles.c.id).where(roles.c.id == ADMIN)) is None:
        # A new installation makes all of them at its start.
        return
    moments = {name: datetime.now(UTC) for name, _ in MOMENTS}
    permission = {"id": PERMISSION, "name": "metrics_read", "description": "Read the metrics of the service."}
    role = {"id": ROLE, "name": "monitor", "description": "Reads the metrics (given to an account of master)."}
    connection.execute(permissions.insert().values(built_in=True, **permission, **moments))
    connection.execute(roles.insert().values(built_in=True, **role, **moments))
    for role_id in (ADMIN, ROLE):
        pair = {"id": str(uuid.uuid4()), "role_id": role_id, "permission_id": PERMISSION}
        connection.execute(role_permissions.insert().values(**pair, **moments))


def downgrade():
    connection = op.get_bind()
    for name in ("user_permissions", "robot_permissions", "role_permissions"):
        held = sa.table(name, sa.column("permission_id"))
        connection.execute(held.delete().where(held.c.permission_id == PERMISSION))
    for name in ("user_roles", "robot_roles"):
        held = sa.table(name, sa.column("role_id"))
        connection.execute(held.delete().where(held.c.role_id == ROLE))
    connection.execute(roles.delete().where(roles.c.id == ROLE))
    connection.execute(permissions.delete().where(permissions.c.id == PERMISSION))
