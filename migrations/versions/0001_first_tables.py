"""first tables."""

import sqlalchemy as sa
from alembic import op

import assembler_runner.core.database
from sqlalchemy.dialects import mysql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade():
    op.create_table('blobs',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('sha256', name=op.f('pk_blobs')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('blobs', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_blobs_created_at'), ['created_at'], unique=False)

    op.create_table('creation_turns',
    sa.Column('account', sa.String(length=64), nullable=False),
    sa.Column('owner', sa.String(length=36), nullable=True),
    sa.PrimaryKeyConstraint('account', name=op.f('pk_creation_turns')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('idempotency_keys',
    sa.Column('account_id', sa.String(length=36), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('body_digest', sa.String(length=64), nullable=False),
    sa.Column('request_id', sa.String(length=36), nullable=False),
    sa.Column('answer', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('account_id', 'key', name=op.f('pk_idempotency_keys')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('idempotency_keys', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_idempotency_keys_created_at'), ['created_at'], unique=False)

    op.create_table('realms',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('built_in', sa.Boolean(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_realms')),
    sa.UniqueConstraint('name', name=op.f('uq_realms_name')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('realms', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_realms_created_at'), ['created_at'], unique=False)

    op.create_table('blob_chunks',
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('content', sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), 'mariadb').with_variant(mysql.MEDIUMBLOB(), 'mysql'), nullable=False),
    sa.ForeignKeyConstraint(['sha256'], ['blobs.sha256'], name=op.f('fk_blob_chunks_sha256'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('sha256', 'position', name=op.f('pk_blob_chunks')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    op.create_table('spaces',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=96), nullable=False),
    sa.Column('namespace', sa.String(length=96), nullable=True),
    sa.Column('url', sa.String(length=512), nullable=True),
    sa.Column('target', sa.String(length=32), nullable=False),
    sa.Column('space_type', sa.String(length=50), nullable=False),
    sa.Column('visibility', sa.String(length=16), nullable=False),
    sa.Column('state', sa.String(length=32), nullable=False),
    sa.Column('labels', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('owner_id', sa.String(length=36), nullable=False),
    sa.Column('slot', sa.String(length=255), nullable=True),
    sa.Column('created_on_target', sa.Boolean(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_spaces_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_spaces')),
    sa.UniqueConstraint('slot', name=op.f('uq_spaces_slot')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('spaces', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_spaces_created_at'), ['created_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_spaces_owner_id'), ['owner_id'], unique=False)
        batch_op.create_index(batch_op.f('ix_spaces_realm_id'), ['realm_id'], unique=False)

    op.create_table('users',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('name', sa.String(length=64), nullable=False),
    sa.Column('display_name', sa.String(length=128), nullable=True),
    sa.Column('active', sa.Boolean(), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('password_hash', sa.String(length=255), nullable=False),
    sa.Column('token_generation', sa.Integer(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_users_realm_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_users')),
    sa.UniqueConstraint('realm_id', 'name', name=op.f('uq_users_realm_id')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('users', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_users_created_at'), ['created_at'], unique=False)

    op.create_table('space_requests',
    sa.Column('id', sa.String(length=36), nullable=False),
    sa.Column('space_id', sa.String(length=36), nullable=False),
    sa.Column('realm_id', sa.String(length=36), nullable=False),
    sa.Column('owner_id', sa.String(length=36), nullable=False),
    sa.Column('action', sa.String(length=16), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('space_type', sa.String(length=50), nullable=False),
    sa.Column('plugin_version', sa.String(length=64), nullable=False),
    sa.Column('sdk', sa.String(length=16), nullable=False),
    sa.Column('parameters', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('options', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('environment', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('sealed_secrets', assembler_runner.core.database.JsonText(), nullable=True),
    sa.Column('tree_digest', sa.String(length=64), nullable=False),
    sa.Column('commit_oid', sa.String(length=64), nullable=True),
    sa.Column('commit_url', sa.String(length=512), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('errors', sa.Integer(), nullable=False),
    sa.Column('error', assembler_runner.core.database.JsonText(), nullable=True),
    sa.Column('on_failure', sa.String(length=16), nullable=False),
    sa.Column('cancel_requested', sa.Boolean(), nullable=False),
    sa.Column('create_sent_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.Column('started_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.Column('finished_at', assembler_runner.core.database.UtcDateTime(), nullable=True),
    sa.Column('lease_owner', sa.String(length=36), nullable=True),
    sa.Column('due_at', sa.Double(), nullable=False),
    sa.Column('not_before', sa.Double(), nullable=False),
    sa.Column('cleanup_due_at', sa.Double(), nullable=True),
    sa.Column('cleanup_owner', sa.String(length=36), nullable=True),
    sa.Column('turn_round', sa.Integer(), nullable=False),
    sa.Column('turn_at', sa.Double(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.Column('updated_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['realm_id'], ['realms.id'], name=op.f('fk_space_requests_realm_id')),
    sa.ForeignKeyConstraint(['space_id'], ['spaces.id'], name=op.f('fk_space_requests_space_id')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_space_requests')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('space_requests', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_space_requests_cleanup_due_at'), ['cleanup_due_at'], unique=False)
        batch_op.create_index(batch_op.f('ix_space_requests_created_at'), ['created_at'], unique=False)
        batch_op.create_index('ix_space_requests_owner_id_status', ['owner_id', 'status'], unique=False)
        batch_op.create_index('ix_space_requests_realm_id_status', ['realm_id', 'status'], unique=False)
        batch_op.create_index(batch_op.f('ix_space_requests_space_id'), ['space_id'], unique=False)
        batch_op.create_index('ix_space_requests_status_due_at', ['status', 'due_at'], unique=False)
        batch_op.create_index('ix_space_requests_status_finished_at', ['status', 'finished_at'], unique=False)
        batch_op.create_index('ix_space_requests_status_turn_at', ['status', 'turn_at'], unique=False)

    op.create_table('events',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('request_id', sa.String(length=36), nullable=False),
    sa.Column('type', sa.String(length=32), nullable=False),
    sa.Column('message', sa.Text(), nullable=True),
    sa.Column('data', assembler_runner.core.database.JsonText(), nullable=False),
    sa.Column('created_at', assembler_runner.core.database.UtcDateTime(), nullable=False),
    sa.ForeignKeyConstraint(['request_id'], ['space_requests.id'], name=op.f('fk_events_request_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_events')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('events', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_events_request_id'), ['request_id'], unique=False)

    op.create_table('request_files',
    sa.Column('request_id', sa.String(length=36), nullable=False),
    sa.Column('position', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('path', sa.String(length=1024), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('sha256', sa.String(length=64), nullable=False),
    sa.Column('origin', sa.String(length=16), nullable=False),
    sa.Column('given_sha256', sa.String(length=64), nullable=True),
    sa.ForeignKeyConstraint(['request_id'], ['space_requests.id'], name=op.f('fk_request_files_request_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('request_id', 'position', name=op.f('pk_request_files')),
    mariadb_charset='utf8mb4',
    mariadb_collate='utf8mb4_nopad_bin',
    mariadb_engine='InnoDB',
    mysql_charset='utf8mb4',
    mysql_collate='utf8mb4_bin',
    mysql_engine='InnoDB'
    )
    with op.batch_alter_table('request_files', schema=None) as batch_op:
        batch_op.create_index(batch_op.f('ix_request_files_given_sha256'), ['given_sha256'], unique=False)
        batch_op.create_index(batch_op.f('ix_request_files_sha256'), ['sha256'], unique=False)



def downgrade():
    op.drop_table('request_files')
    op.drop_table('events')
    op.drop_table('space_requests')
    op.drop_table('users')
    op.drop_table('spaces')
    op.drop_table('blob_chunks')
    op.drop_table('realms')
    op.drop_table('idempotency_keys')
    op.drop_table('creation_turns')
    op.drop_table('blobs')
