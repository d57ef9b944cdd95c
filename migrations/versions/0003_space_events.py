"""events belong to a Space."""

import sqlalchemy as sa
from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

EVENTS = sa.table('events', sa.column('space_id'), sa.column('request_id'))
REQUESTS = sa.table('space_requests', sa.column('id'), sa.column('space_id'))


def upgrade():
    # A column with a default is added in place; a new table would take the rows that refer to it along on SQLite.
    op.add_column('spaces', sa.Column('event_count', sa.Integer(), server_default='0', nullable=False))
    op.add_column('events', sa.Column('space_id', sa.String(length=36), nullable=True))
    owner = sa.select(REQUESTS.c.space_id).where(REQUESTS.c.id == EVENTS.c.request_id).scalar_subquery()
    op.execute(sa.update(EVENTS).values(space_id=owner))
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.alter_column('space_id', existing_type=sa.String(length=36), nullable=False)
        batch_op.alter_column('request_id', existing_type=sa.String(length=36), nullable=True)
        batch_op.create_foreign_key(
            batch_op.f('fk_events_space_id'), 'spaces', ['space_id'], ['id'], ondelete='CASCADE'
        )
        batch_op.create_index('ix_events_space_id_id', ['space_id', 'id'], unique=False)


def downgrade():
    op.execute(sa.delete(EVENTS).where(EVENTS.c.request_id.is_(None)))
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f('fk_events_space_id'), type_='foreignkey')
        batch_op.drop_index('ix_events_space_id_id')
        batch_op.alter_column('request_id', existing_type=sa.String(length=36), nullable=False)
        batch_op.drop_column('space_id')
    with op.batch_alter_table('spaces', schema=None) as batch_op:
        batch_op.drop_column('event_count')
