"""How a user's error in a worker reaches the job: Ray would replace an exception's message by its own."""

from cxr.errors import BadInput, StoreError, disk_full


def encode_user_error(error: Exception) -> str:
    """Kind and message as text, for `raise_user_error`; empty for an error that another try may mend."""
    error = disk_full(error) or error
    return f"{type(error).__name__} {error}" if isinstance(error, BadInput | StoreError) else ""


def raise_user_error(encoded: str) -> None:
    """Raises what `encode_user_error` encoded in a worker; nothing for an empty text."""
    if encoded:
        kind, message = encoded.split(" ", 1)
        raise {"BadInput": BadInput, "StoreError": StoreError}[kind](message)
