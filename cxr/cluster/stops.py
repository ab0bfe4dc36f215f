"""How a refusal travels from a worker to the job: an exception would end everything without its own words."""

from cxr.errors import BadInput, StoreError


def fatal_of(stop: BadInput | StoreError) -> str:
    """What `stop_if_fatal` raises again."""
    return f"{type(stop).__name__} {stop}"


def stop_if_fatal(fatal: str) -> None:
    """Raises what a worker raised: its kind and message, travelled in a column."""
    if fatal:
        kind, message = fatal.split(" ", 1)
        raise {"BadInput": BadInput, "StoreError": StoreError}[kind](message)
