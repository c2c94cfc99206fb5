"""From records to rows of their mirror: pure transformation, then one transaction a batch."""
