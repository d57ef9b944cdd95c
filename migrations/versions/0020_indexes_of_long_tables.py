"""indexes of long tables."""

from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None

NEW = (
    ('ix_spaces_state_created_at', 'spaces', ['state', 'created_at']),
    ('ix_space_requests_realm_id_status_turn_round', 'space_requests', ['realm_id', 'status', 'turn_round']),
    ('ix_login_sessions_account_id_expires_at', 'login_sessions', ['account_id', 'expires_at']),
    ('ix_webhooks_realm_id_space_id_request_id', 'webhooks', ['realm_id', 'space_id', 'request_id']),
)
OLD = (
    ('ix_space_requests_realm_id_status', 'space_requests', ['realm_id', 'status']),
    ('ix_login_sessions_account_id', 'login_sessions', ['account_id']),
    ('ix_webhooks_realm_id', 'webhooks', ['realm_id']),
)


def upgrade():
    _replace(OLD, NEW)


def downgrade():
    _replace(NEW, OLD)


def _replace(old, new):
    # In this order: a foreign key of MariaDB is never without an index.
    for name, table, columns in new:
        op.create_index(name, table, columns, unique=False)
    for name, table, _ in old:
        op.drop_index(name, table_name=table)
