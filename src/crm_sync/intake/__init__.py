"""Contacts from a file into the table, with every line accounted for."""

from crm_sync.intake.contacts import ImportProgress, ImportReport, import_contacts

__all__ = ["ImportProgress", "ImportReport", "import_contacts"]
