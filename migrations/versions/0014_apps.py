"""apps of local Spaces, and their secrets."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import JsonText


revision = '0014'
down_revision = '0013'
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


def upgrade():
    op.create_table('apps',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('place', sa.String(length=200), nullable=False),
    sa.Column('namespace', sa.String(length=96), nullable=False),
    sa.Column('name', sa.String(length=96), nullable=False),
    sa.Column('host', sa.String(length=63), nullable=False),
    sa.Column('visibility', sa.String(length=16), nullable=False),
    sa.Column('hardware', sa.String(length=32), nullable=True),
    sa.Column('sleep_time', sa.Integer(), nullable=True),
    sa.Column('desired', sa.String(length=16), nullable=False),
    sa.Column('commit_oid', sa.String(length=64), nullable=True),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('fresh', sa.Boolean(), nullable=False),
    sa.Column('stage', sa.String(length=32), nullable=False),
    sa.Column('stage_oid', sa.String(length=64), nullable=True),
    sa.Column('stage_generation', sa.Integer(), nullable=False),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('exit_code', sa.Integer(), nullable=True),
    sa.Column('resolved', JsonText(), nullable=True),
    sa.Column('used_at', sa.Double(), nullable=True),
    sa.Column('changed_at', sa.Double(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_apps')),
    sa.UniqueConstraint('place', name=op.f('uq_apps_place')),
    sa.UniqueConstraint('host', name=op.f('uq_apps_host')),
    **TABLE
    )
    op.create_table('app_secrets',
    sa.Column('app_id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=128), nullable=False),
    sa.Column('sealed', JsonText(), nullable=False),
    sa.ForeignKeyConstraint(['app_id'], ['apps.id'], name=op.f('fk_app_secrets_app_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('app_id', 'name', name=op.f('pk_app_secrets')),
    **TABLE
    )


def downgrade():
    op.drop_table('app_secrets')
    op.drop_table('apps')
