"""How a refusal travels from a worker to the job: an exception would end everything without its own words."""

from cxr.errors import BadInput, StoreError, disk_full


def fatal_of(error: Exception) -> str:
    """What `stop_if_fatal` raises again; empty for an error that trying again may mend."""
    error = disk_full(error) or error
    return f"{type(error).__name__} {error}" if isinstance(error, BadInput | StoreError) else ""


def stop_if_fatal(fatal: str) -> None:
    """Raises what a worker raised: its kind and message, travelled in a column."""
    if fatal:
        kind, message = fatal.split(" ", 1)
        raise {"BadInput": BadInput, "StoreError": StoreError}[kind](message)
