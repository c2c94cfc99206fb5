"""The pulls of what is no CRM record: owners, pipelines, forms and their submissions, e-mail events."""
