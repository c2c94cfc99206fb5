"""From HubSpot to batches of records: by listing, by search, by id, with their associations."""
