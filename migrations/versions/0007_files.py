"""buckets, and when a content was last used."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0007'
down_revision = '0006'
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
PERMISSIONS = {
    "bucket_create": "Make buckets.",
    "bucket_read": "See and read buckets and their files, and use them in Spaces.",
    "bucket_update": "Change buckets and put files into them.",
    "bucket_delete": "Delete buckets and their files.",
}
ROLES = {
    "admin": PERMISSIONS,
    "realm_admin": PERMISSIONS,
    "member": PERMISSIONS,
    "viewer": ("bucket_read",),
}


def upgrade():
    op.create_table('buckets',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('region', sa.String(length=128), nullable=True),
    sa.Column('actor_type', sa.String(length=16), nullable=False),
    sa.Column('actor_id', sa.String(length=36), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_buckets_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_buckets')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_buckets_realm_id')),
    **TABLE
    )
    op.create_index(op.f('ix_buckets_created_at'), 'buckets', ['created_at'], unique=False)
    op.create_table('bucket_files',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('bucket_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('path', sa.String(length=1024), nullable=False),
    sa.Column('directory', sa.String(length=1024), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('actor_type', sa.String(length=16), nullable=False),
    sa.Column('actor_id', sa.String(length=36), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['bucket_id'], ['buckets.id'], name=op.f('fk_bucket_files_bucket_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_bucket_files_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_bucket_files')),
    **TABLE
    )
    for column in ('actor_id', 'bucket_id', 'created_at', 'hash', 'realm_id'):
        op.create_index(op.f(f'ix_bucket_files_{column}'), 'bucket_files', [column], unique=False)
    # Added in place: a new table would take the rows that refer to it along on SQLite.
    op.add_column(
        'blobs', sa.Column('used_at', assembler_runner.core.database.UtcDateTime(), server_default='2000-01-01', nullable=False)
    )
    op.create_index(op.f('ix_blobs_used_at'), 'blobs', ['used_at'], unique=False)
    op.drop_index(op.f('ix_blobs_created_at'), table_name='blobs')
    op.drop_column('blobs', 'created_at')
    _insert_permissions()


def downgrade():
    op.add_column(
        'blobs',
        sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), server_default='2000-01-01', nullable=False),
    )
    op.create_index(op.f('ix_blobs_created_at'), 'blobs', ['created_at'], unique=False)
    op.drop_index(op.f('ix_blobs_used_at'), table_name='blobs')
    op.drop_column('blobs', 'used_at')
    op.drop_table('bucket_files')
    op.drop_table('buckets')


def _insert_permissions():
    connection = op.get_bind()
    moment = datetime.now(UTC)
    moments = {"created_at": moment, "updated_at": moment}
    tables = sa.MetaData()
    times = [(name, assembler_runner.core.database.UtcDateTime()) for name in moments]
    permissions, roles, role_permissions = (
        sa.Table(name, tables, *(sa.Column(column, kind) for column, kind in [*columns, *times]))
        for name, columns in (
            ("permissions", [("id", sa.String), ("name", sa.String), ("description", sa.Text), ("built_in", sa.Boolean)]),
            ("roles", [("id", sa.String)]),
            (
                "role_permissions",
                [("id", sa.String), ("role_id", sa.String), ("permission_id", sa.String)],
            ),
        )
    )
    there = set(connection.scalars(sa.select(roles.c.id)))
    for name, description in PERMISSIONS.items():
        row = {"id": built_in_id("permission", name), "name": name, "description": description, "built_in": True}
        connection.execute(permissions.insert().values(row | moments))
    for role, granted in ROLES.items():
        for name in granted if built_in_id("role", role) in there else ():
            pair = {"role_id": built_in_id("role", role), "permission_id": built_in_id("permission", name)}
            connection.execute(role_permissions.insert().values({"id": str(uuid.uuid4())} | pair | moments))


def built_in_id(kind, name):
    return str(uuid.uuid5(NAMESPACE, f"{kind}:{name}"))
