"""what becomes of a published Space: its state, why, and when it is looked at."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import JsonText, UtcDateTime

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

OPTIONS = {
    'mysql_charset': 'utf8mb4',
    'mysql_collate': 'utf8mb4_bin',
    'mysql_engine': 'InnoDB',
    'mariadb_charset': 'utf8mb4',
    'mariadb_collate': 'utf8mb4_nopad_bin',
    'mariadb_engine': 'InnoDB',
}


def upgrade():
    # A column without a table made anew: on SQLite that would take the rows that refer to it along.
    op.add_column('spaces', sa.Column('state_since', UtcDateTime(), nullable=True))
    op.add_column('spaces', sa.Column('state_checked_at', UtcDateTime(), nullable=True))
    op.add_column('spaces', sa.Column('state_source', sa.String(length=16), server_default='service', nullable=False))
    op.add_column('spaces', sa.Column('stage', sa.String(length=64), nullable=True))
    op.add_column('spaces', sa.Column('problem', JsonText(), nullable=True))
    op.execute('UPDATE spaces SET state_since = updated_at')
    op.create_table(
        'followings',
        sa.Column('space_id', sa.String(length=36), nullable=False),
        sa.Column('account', sa.String(length=64), server_default='', nullable=False),
        sa.Column('due_at', sa.Double(), nullable=True),
        sa.Column('owner', sa.String(length=36), nullable=True),
        sa.Column('is_open', sa.Boolean(), nullable=False),
        sa.Column('since', sa.Double(), nullable=False),
        sa.Column('commit_oid', sa.String(length=64), nullable=True),
        sa.Column('first_stage', sa.String(length=64), nullable=True),
        sa.Column('has_moved', sa.Boolean(), nullable=False),
        sa.Column('errors', sa.Integer(), nullable=False),
        sa.Column('sealed_marks', JsonText(), nullable=True),
        sa.ForeignKeyConstraint(['space_id'], ['spaces.id'], name=op.f('fk_followings_space_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('space_id', name=op.f('pk_followings')),
        **OPTIONS,
    )
    op.create_index('ix_followings_due_at', 'followings', ['due_at'], unique=False)
    op.create_index('ix_followings_account_due_at', 'followings', ['account', 'due_at'], unique=False)
    op.create_index('ix_followings_account_is_open', 'followings', ['account', 'is_open'], unique=False)
    op.create_table(
        'kept_logs',
        sa.Column('space_id', sa.String(length=36), nullable=False),
        sa.Column('kind', sa.String(length=8), nullable=False),
        sa.Column('lines', JsonText(), nullable=False),
        sa.Column('taken_at', UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(['space_id'], ['spaces.id'], name=op.f('fk_kept_logs_space_id'), ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('space_id', 'kind', name=op.f('pk_kept_logs')),
        **OPTIONS,
    )
    _follow_what_is_published()


def _follow_what_is_published():
    """Adds what was published before; it is looked at as soon as a worker runs."""
    tables = sa.MetaData()
    connection = op.get_bind()
    spaces, followings = (sa.Table(name, tables, autoload_with=connection) for name in ('spaces', 'followings'))
    published = sa.select(
        spaces.c.id, sa.literal(''), sa.literal(0.0), sa.false(), sa.literal(0.0), sa.false(), sa.literal(0)
    ).where(spaces.c.created_on_target, spaces.c.target == 'huggingface', spaces.c.url.is_not(None))
    columns = ['space_id', 'account', 'due_at', 'is_open', 'since', 'has_moved', 'errors']
    connection.execute(followings.insert().from_select(columns, published))


def downgrade():
    op.drop_table('kept_logs')
    op.drop_table('followings')
    for column in ('problem', 'stage', 'state_source', 'state_checked_at', 'state_since'):
        op.drop_column('spaces', column)
