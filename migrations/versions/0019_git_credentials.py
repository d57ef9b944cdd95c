"""git credentials of realms."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import UtcDateTime

revision = '0019'
down_revision = '0018'
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
    op.create_table('git_credentials',
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('host', sa.String(length=255), nullable=False),
    sa.Column('username', sa.String(length=255), nullable=False),
    sa.Column('encrypted_password', sa.Text(), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('updated_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_git_credentials_realm_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('realm_id', 'host', name=op.f('pk_git_credentials')),
    **TABLE
    )
    op.create_index(op.f('ix_git_credentials_created_at'), 'git_credentials', ['created_at'], unique=False)


def downgrade():
    op.drop_table('git_credentials')
