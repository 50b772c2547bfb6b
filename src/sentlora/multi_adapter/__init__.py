"""Several adapters over one base model."""
