"""the findings of a request."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('space_requests', sa.Column('findings', assembler_runner.core.database.JsonText(), nullable=True))


def downgrade():
    op.drop_column('space_requests', 'findings')
