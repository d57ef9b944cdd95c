"""namespaces of the local target belong to realms."""

import sqlalchemy as sa
from alembic import op


revision = '0012'
down_revision = '0011'
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
    table = op.create_table('local_namespaces',
    sa.Column('name', sa.String(length=96), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_local_namespaces_realm_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_local_namespaces')),
    **TABLE
    )
    op.create_index(op.f('ix_local_namespaces_realm_id'), 'local_namespaces', ['realm_id'], unique=False)
    spaces = sa.table('spaces', *(sa.column(name) for name in ('namespace', 'realm_id', 'target', 'slot', 'created_at')))
    used = sa.select(spaces.c.namespace, spaces.c.realm_id).where(
        spaces.c.target == 'local', spaces.c.slot.is_not(None), spaces.c.namespace.is_not(None)
    )
    # Where two realms share one, it belongs to the one that was there first.
    owners = {}
    for namespace, realm_id in op.get_bind().execute(used.order_by(spaces.c.created_at)):
        owners.setdefault(namespace.casefold(), realm_id)
    rows = [{'name': name, 'realm_id': realm_id} for name, realm_id in owners.items()]
    if rows:
        op.bulk_insert(table, rows)


def downgrade():
    op.drop_table('local_namespaces')
