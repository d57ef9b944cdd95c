"""the findings of a request, and the digest of a target's answer."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def upgrade():
    op.add_column('space_requests', sa.Column('findings', assembler_runner.core.database.JsonText(), nullable=True))
    op.add_column('followings', sa.Column('answer_digest', sa.String(length=64), nullable=True))


def downgrade():
    op.drop_column('followings', 'answer_digest')
    op.drop_column('space_requests', 'findings')
