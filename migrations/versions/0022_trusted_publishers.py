"""Trusted publishers."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import JsonText, UtcDateTime

revision = '0022'
down_revision = '0021'
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
    op.create_table('trusted_publishers',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('robot_id', sa.String(length=36), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('issuer', sa.String(length=255), nullable=False),
    sa.Column('subject', sa.String(length=512), nullable=True),
    sa.Column('claims', JsonText(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('updated_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_trusted_publishers_realm_id')),
    sa.ForeignKeyConstraint(['robot_id'], ['robots.id'], name=op.f('fk_trusted_publishers_robot_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_trusted_publishers')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_trusted_publishers_realm_id')),
    **TABLE
    )
    for column in ('created_at', 'issuer', 'robot_id'):
        op.create_index(op.f(f'ix_trusted_publishers_{column}'), 'trusted_publishers', [column], unique=False)


def downgrade():
    op.drop_table('trusted_publishers')
