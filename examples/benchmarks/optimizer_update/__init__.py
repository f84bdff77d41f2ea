"""What one update of an optimizer costs."""
