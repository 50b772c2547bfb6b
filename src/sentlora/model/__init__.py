"""Model: base models, adapters, and the objectives that turn texts into scores."""
