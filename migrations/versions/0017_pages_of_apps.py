"""first page and headers of an app, as its README.md names them."""

import sqlalchemy as sa
from alembic import op

from assembler_runner.core.database import JsonText


revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade():
    with op.batch_alter_table('apps') as batch_op:
        batch_op.add_column(sa.Column('page', JsonText(), nullable=True))


def downgrade():
    with op.batch_alter_table('apps') as batch_op:
        batch_op.drop_column('page')
