"""Hub tokens of persons, and whose token publishes a Space."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import UtcDateTime

revision = '0024'
down_revision = '0023'
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
    op.create_table('person_hub_tokens',
    sa.Column('user_id', sa.String(length=36), nullable=False),
    sa.Column('encrypted_token', sa.Text(), nullable=False),
    sa.Column('key_id', sa.String(length=16), nullable=False),
    sa.Column('account_name', sa.String(length=96), nullable=False),
    sa.Column('renewable', sa.Boolean(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('expires_at', UtcDateTime(), nullable=False),
    sa.Column('created_at', UtcDateTime(), nullable=False),
    sa.Column('updated_at', UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_person_hub_tokens_user_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('user_id', name=op.f('pk_person_hub_tokens')),
    **TABLE
    )
    op.create_index(op.f('ix_person_hub_tokens_created_at'), 'person_hub_tokens', ['created_at'], unique=False)
    op.add_column('spaces', sa.Column('publisher_id', sa.String(length=36), nullable=True))


def downgrade():
    with op.batch_alter_table('spaces') as batch:
        batch.drop_column('publisher_id')
    op.drop_table('person_hub_tokens')
