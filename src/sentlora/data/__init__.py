"""Data: anything a user holds becomes checked splits of texts and labels."""
