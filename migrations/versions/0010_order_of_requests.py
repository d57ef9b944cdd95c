"""index for the requests of a Space in their order."""

from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def upgrade():
    # First the new one: MariaDB needs one for the foreign key all the time.
    op.create_index('ix_space_requests_space_id_number', 'space_requests', ['space_id', 'number'], unique=False)
    op.drop_index('ix_space_requests_space_id', table_name='space_requests')


def downgrade():
    op.create_index('ix_space_requests_space_id', 'space_requests', ['space_id'], unique=False)
    op.drop_index('ix_space_requests_space_id_number', table_name='space_requests')
