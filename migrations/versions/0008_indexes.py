"""indexes for long lists."""

from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

INDEXES = (
    ('ix_spaces_name', 'spaces', ['name']),
    ('ix_spaces_realm_id_created_at', 'spaces', ['realm_id', 'created_at']),
    ('ix_space_requests_realm_id_created_at', 'space_requests', ['realm_id', 'created_at']),
    ('ix_space_requests_status_created_at', 'space_requests', ['status', 'created_at']),
)


def upgrade():
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns, unique=False)


def downgrade():
    for name, table, columns in reversed(INDEXES):
        op.drop_index(name, table_name=table)
