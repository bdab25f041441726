"""candidates -> the best image that passes its gates (docs/forge.md)."""
