"""A client for HubSpot's CRM: knows HTTP and HubSpot, no database and no settings."""

from crm_sync.hubspot.associations import Association, AssociationPage, AssociationType
from crm_sync.hubspot.client import HubSpotClient
from crm_sync.hubspot.counts import CallCounts, tallied
from crm_sync.hubspot.emailevents import EmailEvent, EmailEventPage
from crm_sync.hubspot.errors import HubSpotError
from crm_sync.hubspot.exchange import Bucket
from crm_sync.hubspot.forms import Form, FormPage, Submission, SubmissionPage
from crm_sync.hubspot.objects import (
    BatchResult,
    InlineAssociation,
    InlineAssociations,
    PropertyVersion,
    Record,
    RecordInput,
)
from crm_sync.hubspot.owners import Owner, OwnerPage
from crm_sync.hubspot.page import LIST_URL_CHARACTERS, SEARCH_BODY_CHARACTERS, Page
from crm_sync.hubspot.pipelines import Pipeline, PipelineStage
from crm_sync.hubspot.properties import PropertyDefinition, PropertyGroup
from crm_sync.hubspot.ratelimit import DEFAULT_BUDGETS, Budget, LocalRateLimiter, RateLimiter
from crm_sync.hubspot.retry import RetryRules
from crm_sync.hubspot.schemas import ObjectSchema
from crm_sync.hubspot.shared_ratelimit import SharedRateLimiter
from crm_sync.hubspot.transport import Timeouts

__all__ = [
    "DEFAULT_BUDGETS",
    "LIST_URL_CHARACTERS",
    "SEARCH_BODY_CHARACTERS",
    "Association",
    "AssociationPage",
    "AssociationType",
    "BatchResult",
    "Bucket",
    "Budget",
    "CallCounts",
    "EmailEvent",
    "EmailEventPage",
    "Form",
    "FormPage",
    "HubSpotClient",
    "HubSpotError",
    "InlineAssociation",
    "InlineAssociations",
    "LocalRateLimiter",
    "ObjectSchema",
    "Owner",
    "OwnerPage",
    "Page",
    "Pipeline",
    "PipelineStage",
    "PropertyDefinition",
    "PropertyGroup",
    "PropertyVersion",
    "RateLimiter",
    "Record",
    "RecordInput",
    "RetryRules",
    "SharedRateLimiter",
    "Submission",
    "SubmissionPage",
    "Timeouts",
    "tallied",
]
