"""All that knows a text-to-image pipeline."""
