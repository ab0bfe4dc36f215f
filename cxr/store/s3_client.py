"""The connection to S3: from the usual AWS variables and profile to a client, and from its errors to one clear line."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import boto3
import tenacity
from botocore import UNSIGNED
from botocore import exceptions as boto
from botocore.config import Config

from cxr.errors import BadInput
from cxr.store.s3_errors import CONNECTION_ERRORS, OUTAGE_CODES, error_code, explain_settings_error, is_untrusted

_T = TypeVar("_T")
_MAX_OUTAGE_S = 90  # a gateway that restarts takes 10-20 s, a cluster's ingress that moves about a minute
_CA_BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # where boto's own is unset


@functools.cache
def connect(patient: bool = True) -> Any:
    """This process's S3 client; with `patient=False` one that gives up within seconds.

    Where there are no keys it does not sign what it asks: a public bucket can be read so (`is_unsigned`).

    Raises:
        BadInput: no usable profile, keys or endpoint in the environment.
    """
    try:
        session = boto3.session.Session()
        config = _client_config(patient)
        if session.get_credentials() is None:
            config = config.merge(Config(signature_version=UNSIGNED))
        region = os.environ.get("AWS_REGION") or session.region_name or "us-east-1"  # boto3 reads AWS_DEFAULT_REGION
        authorities = ca_bundle()
        client = session.client("s3", region, config=config, verify=authorities)
        if "amazonaws.com" not in client.meta.endpoint_url:
            config = config.merge(_other_servers_config(session))
            client = session.client("s3", region, config=config, verify=authorities)
    except (boto.BotoCoreError, boto.ClientError, ValueError, OSError) as error:
        raise BadInput(f"S3: {explain_settings_error(error)}") from None
    return client


os.register_at_fork(after_in_child=connect.cache_clear)  # a connection must not be shared by two processes


def is_unsigned(client: Any) -> bool:
    """Whether there were no keys."""
    return client.meta.config.signature_version is UNSIGNED


def ca_bundle(names: Sequence[str] = _CA_BUNDLE_VARIABLES) -> str | None:
    """The file of certificate authorities to trust in place of the usual ones; None for these.

    Raises:
        BadInput: a variable names a file that is not there.
    """
    own = boto3.session.Session()._session.get_config_variable("ca_bundle")  # AWS_CA_BUNDLE, or the profile's ca_bundle
    name, path = next(((name, os.environ[name]) for name in names if os.environ.get(name)), ("", ""))
    if own:
        name, path = "AWS_CA_BUNDLE (or ca_bundle of the profile)", own
    if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
        raise BadInput(f"S3: {name} {path}: no file that can be read; give a PEM file of authorities, or unset it")
    return path or None


def _client_config(patient: bool) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": 4 if patient else 2},
        connect_timeout=5 if patient else 2,
        read_timeout=20 if patient else 5,
        tcp_keepalive=True,
        max_pool_connections=32,
        s3={"payload_signing_enabled": True},  # any server that checks signatures then checks the content too
    )


def _other_servers_config(session: Any) -> Config:
    """Own servers seldom have a DNS name for each bucket, and many refuse checksums that they were not asked for."""
    asked = (session._session.get_scoped_config().get("s3") or {}).get("addressing_style") or "path"
    return Config(
        s3={"addressing_style": asked, "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def retry_through_outage(call: Callable[[], _T]) -> _T:
    """The call's result, tried again through an outage of up to 90 s.

    botocore's own retries share one budget among a client's threads (35 in release 1.44): many threads spend it within
    the first seconds of a restart.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_outage),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
        stop=tenacity.stop_after_delay(_MAX_OUTAGE_S),
        reraise=True,
    )(call)


def _is_outage(error: BaseException) -> bool:
    return (isinstance(error, CONNECTION_ERRORS) and not is_untrusted(error)) or error_code(error) in OUTAGE_CODES
