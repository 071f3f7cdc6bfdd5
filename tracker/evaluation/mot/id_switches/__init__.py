"""Pictures of every id switch."""
