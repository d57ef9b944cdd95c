"""webhooks and their deliveries."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database


revision = '0004'
down_revision = '0003'
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
    op.create_table('webhooks',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('url', sa.String(length=2000), nullable=False),
    sa.Column('description', sa.String(length=255), nullable=True),
    sa.Column('event_types', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('owner_id', sa.String(length=36), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=True),
    sa.Column('request_id', sa.String(length=36), nullable=True),
    sa.Column('sealed_secret', sa.Text(), nullable=False),
    sa.Column('sealed_old_secret', sa.Text(), nullable=True),
    sa.Column('old_secret_until', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_webhooks_realm_id')),
    sa.ForeignKeyConstraint(
        ['request_id'], ['space_requests.id'], name=op.f('fk_webhooks_request_id'), ondelete='CASCADE'
    ),
    sa.ForeignKeyConstraint(['space_id'], ['spaces.id'], name=op.f('fk_webhooks_space_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhooks')),
    **TABLE
    )
    with op.batch_alter_table('webhooks', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_webhooks_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_webhooks_realm_id'), ['realm_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_webhooks_request_id'), ['request_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_webhooks_space_id'), ['space_id'], unique=False)

    op.create_table('webhook_deliveries',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('webhook_id', sa.String(length=36), nullable=False),
    sa.Column('event_id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=True),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('answer_status', sa.Integer(), nullable=True),
    sa.Column('error', sa.String(length=255), nullable=True),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('finished_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.Column('due_at', sa.Double(), nullable=False),
    sa.Column('owner', sa.String(length=36), nullable=True),
    sa.ForeignKeyConstraint(['event_id'], ['events.id'], name=op.f('fk_webhook_deliveries_event_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(
        ['webhook_id'], ['webhooks.id'], name=op.f('fk_webhook_deliveries_webhook_id'), ondelete='CASCADE'
    ),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_webhook_deliveries')),
    **TABLE
    )
    with op.batch_alter_table('webhook_deliveries', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_webhook_deliveries_event_id'), ['event_id'], unique=False)
        batch_op.create_index('ix_webhook_deliveries_status_due_at', ['status', 'due_at'], unique=False)
        batch_op.create_index('ix_webhook_deliveries_webhook_id_created_at', ['webhook_id', 'created_at'], unique=False)


def downgrade():
    op.drop_table('webhook_deliveries')
    op.drop_table('webhooks')
