"""What HubSpot holds beside its records, in the schema `hubspot`: associations, histories, definitions, what is gone.

Object types are named as the streams are: contacts, deals, notes, memberships.
"""

from sqlalchemy import BigInteger, Column, Index, Table, Text, func
from sqlalchemy.dialects.postgresql import ARRAY

from crm_sync.models.base import Base
from crm_sync.models.mirror import SCHEMA, TIME

#: Two records that belong together, once for each association type; read from the side of `from_type`.
associations = Table(
    "associations",
    Base.metadata,
    Column("from_type", Text, primary_key=True),
    Column("from_id", BigInteger, primary_key=True, autoincrement=False),
    Column("to_type", Text, primary_key=True),
    Column("to_id", BigInteger, primary_key=True, autoincrement=False),
    Column("category", Text, primary_key=True),
    Column("type_id", BigInteger, primary_key=True, autoincrement=False),
    Column("label", Text),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_associations_to_type_to_id", "to_type", "to_id"),
    schema=SCHEMA,
)

#: What the names of association types in listings stand for.
association_types = Table(
    "association_types",
    Base.metadata,
    Column("from_type", Text, primary_key=True),
    Column("to_type", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("category", Text, nullable=False),
    Column("type_id", BigInteger, nullable=False),
    Column("label", Text),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

#: Every value that a property had, and since when.
property_history = Table(
    "property_history",
    Base.metadata,
    Column("object_type", Text, primary_key=True),
    Column("hubspot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("property", Text, primary_key=True),
    Column("changed_at", TIME, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("value", Text),
    Column("source_type", Text),
    Column("source_id", Text),
    schema=SCHEMA,
)

#: The properties that the portal defines, as last looked up.
properties = Table(
    "properties",
    Base.metadata,
    Column("object_type", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("field_type", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("group_name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("options", ARRAY(Text), nullable=False),
    Column("synced_at", TIME, nullable=False, server_default=func.now()),
    schema=SCHEMA,
)

#: Record ids that HubSpot no longer has: merged into another record, or deleted for good.
removed_records = Table(
    "removed_records",
    Base.metadata,
    Column("object_type", Text, primary_key=True),
    Column("hubspot_id", BigInteger, primary_key=True, autoincrement=False),
    Column("merged_into", BigInteger),
    Column("noticed_at", TIME, nullable=False, server_default=func.now()),
    Index("ix_removed_records_merged_into", "object_type", "merged_into"),
    schema=SCHEMA,
)
