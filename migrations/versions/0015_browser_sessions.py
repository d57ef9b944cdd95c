"""sessions of people in the web pages."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import UtcDateTime

revision = '0015'
down_revision = '0014'
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
    op.create_table('browser_sessions',
    sa.Column('token_hash', sa.String(length=64), nullable=False),
    sa.Column('session_id', sa.String(length=36), nullable=False),
    sa.Column('seen_at', UtcDateTime(), nullable=False),
    sa.Column('address', sa.String(length=64), nullable=True),
    sa.Column('browser', sa.String(length=256), nullable=True),
    sa.ForeignKeyConstraint(['session_id'], ['login_sessions.id'], name=op.f('fk_browser_sessions_session_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('pk_browser_sessions')),
    **TABLE
    )
    op.create_index(op.f('ix_browser_sessions_session_id'), 'browser_sessions', ['session_id'], unique=False)


def downgrade():
    op.drop_table('browser_sessions')
