"""a realm can switch the tools for agents off."""

import sqlalchemy as sa
from alembic import op


revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table('realms') as batch_op:
        batch_op.add_column(sa.Column('allow_agents', sa.Boolean(), server_default='1', nullable=False))


def downgrade():
    with op.batch_alter_table('realms') as batch_op:
        batch_op.drop_column('allow_agents')
