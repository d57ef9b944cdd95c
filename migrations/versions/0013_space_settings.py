"""the variables of a Space and the names of its secrets."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None

JSON = assembler_runner.core.database.JsonText


def upgrade():
    op.add_column('spaces', sa.Column('secret_names', JSON(), nullable=True))
    op.add_column('spaces', sa.Column('variables', JSON(), nullable=True))
    names = ('space_id', 'environment', 'status', 'number')
    requests = sa.table('space_requests', *(sa.column(name, JSON() if name == 'environment' else None) for name in names))
    done = sa.select(requests.c.space_id, requests.c.environment).where(requests.c.status == 'succeeded')
    variables = {}
    for space_id, environment in op.get_bind().execute(done.order_by(requests.c.space_id, requests.c.number)):
        known = variables.setdefault(space_id, {})
        known.update((environment or {}).get('variables') or {})
    # The names of secrets were not recorded before: null says that they are not known.
    spaces = sa.table('spaces', sa.column('id'), sa.column('variables', JSON()))
    for space_id, known in variables.items():
        kept = {key: value for key, value in known.items() if value is not None}
        op.execute(spaces.update().where(spaces.c.id == space_id).values(variables=kept))


def downgrade():
    op.drop_column('spaces', 'variables')
    op.drop_column('spaces', 'secret_names')
