"""changes of Spaces: order of requests, live commits, expiry."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

SPACES = sa.table('spaces', sa.column('id'), sa.column('published_oid'), sa.column('request_count'))
REQUESTS = sa.table('space_requests', sa.column('space_id'), sa.column('status'), sa.column('commit_oid'))


def upgrade():
    # Columns are added in place: SQLite would make the tables anew, and take along the rows that refer to them.
    op.add_column('spaces', sa.Column('made_at', assembler_runner.core.database.UtcDateTime(), nullable=True))
    op.add_column('spaces', sa.Column('published_oid', sa.String(length=64), nullable=True))
    op.add_column('spaces', sa.Column('foreign_oid', sa.String(length=64), nullable=True))
    op.add_column('spaces', sa.Column('expires_at', assembler_runner.core.database.UtcDateTime(), nullable=True))
    op.add_column('spaces', sa.Column('expiry_warnings', sa.Integer(), server_default='0', nullable=False))
    op.add_column('spaces', sa.Column('request_count', sa.Integer(), server_default='0', nullable=False))
    op.create_index('ix_spaces_expires_at', 'spaces', ['expires_at'], unique=False)
    op.add_column('space_requests', sa.Column('number', sa.Integer(), server_default='1', nullable=False))
    op.add_column('space_requests', sa.Column('change', assembler_runner.core.database.JsonText(), nullable=True))
    op.add_column('space_requests', sa.Column('unchanged', sa.Boolean(), server_default='0', nullable=False))
    op.add_column('space_requests', sa.Column('sent_at', assembler_runner.core.database.UtcDateTime(), nullable=True))
    op.add_column('space_requests', sa.Column('steps_done', assembler_runner.core.database.JsonText(), nullable=True))
    # Until now a Space had one request, which made it.
    commit = (
        sa.select(sa.func.max(REQUESTS.c.commit_oid))
        .where(REQUESTS.c.space_id == SPACES.c.id, REQUESTS.c.status == 'succeeded')
        .scalar_subquery()
    )
    op.execute(sa.update(SPACES).values(request_count=1, published_oid=commit))


def downgrade():
    for column in ('steps_done', 'sent_at', 'unchanged', 'change', 'number'):
        op.drop_column('space_requests', column)
    op.drop_index('ix_spaces_expires_at', table_name='spaces')
    for column in ('request_count', 'expiry_warnings', 'expires_at', 'foreign_oid', 'published_oid', 'made_at'):
        op.drop_column('spaces', column)
