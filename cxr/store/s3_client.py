"""The connection to S3: from the usual AWS variables and profile to a client, and from its errors to one clear line."""

import functools
import os
import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import tenacity
from botocore import exceptions as boto
from botocore.config import Config

from cxr.errors import BadInput

_T = TypeVar("_T")
_OUTAGE_S = 90  # a gateway that restarts takes 10-20 s, a cluster's ingress that moves about a minute
_KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile in AWS_PROFILE)"
_BAD_KEYS = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken",
             "AllAccessDisabled", "UserSuspended"}  # fmt: skip
_OUTAGE_CODES = {"500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout",
                 "409", "ConditionalRequestConflict", "OperationAborted"}  # fmt: skip
_NO_ANSWER = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)


@functools.cache
def connect(patient: bool = True) -> Any:
    """This process's S3 client; with `patient=False` one that gives up within seconds.

    Raises:
        BadInput: no usable profile, keys or endpoint in the environment.
    """
    try:
        session = boto3.session.Session()
        if session.get_credentials() is None:
            raise BadInput(f"S3: no keys; set {_KEYS}")
        region = session.region_name or "us-east-1"
        client = session.client("s3", region, config=_config(patient))
        if "amazonaws.com" not in client.meta.endpoint_url:  # own servers seldom have a DNS name for each bucket
            path_style = Config(s3={"addressing_style": "path", "payload_signing_enabled": True})
            client = session.client("s3", region, config=_config(patient).merge(path_style))
    except (boto.BotoCoreError, ValueError) as error:
        raise BadInput(f"S3: {_settings_trouble(error)}") from None
    return client


os.register_at_fork(after_in_child=connect.cache_clear)  # a connection must not be shared by two processes


def session_keys() -> dict[str, str | None]:
    """The keys that this process's client uses, under pyarrow's argument names."""
    keys = boto3.session.Session().get_credentials().get_frozen_credentials()
    return {"access_key": keys.access_key, "secret_key": keys.secret_key, "session_token": keys.token}


def _config(patient: bool) -> Config:
    return Config(
        retries={"mode": "standard", "total_max_attempts": 4 if patient else 2},
        connect_timeout=5 if patient else 2,
        read_timeout=20 if patient else 5,
        tcp_keepalive=True,
        max_pool_connections=32,
        s3={"payload_signing_enabled": True},  # any server that checks signatures then checks the content too
    )


def outlast(call: Callable[[], _T]) -> _T:
    """The call's result, tried again through an outage of up to 90 s.

    botocore's own retries share one budget among a client's threads (35 in release 1.44): many threads spend it within
    the first seconds of a restart.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_outage),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=5),
        stop=tenacity.stop_after_delay(_OUTAGE_S),
        reraise=True,
    )(call)


def code_of(error: Exception) -> str:
    """The S3 error code, or the status where the answer had no body; '' for other errors."""
    if not isinstance(error, boto.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code") or error.response["ResponseMetadata"]["HTTPStatusCode"])


def _is_outage(error: BaseException) -> bool:
    return isinstance(error, _NO_ANSWER) or code_of(error) in _OUTAGE_CODES


def explain(error: Exception, bucket: str, endpoint: str) -> str:
    """What is wrong and what to do, in one line, without anything secret (of an answer only its code is told)."""
    server, code = shown_endpoint(endpoint), code_of(error)
    if isinstance(error, _NO_ANSWER):
        return f"{server} does not answer ({type(error).__name__}); check the endpoint and run the same command again"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError | boto.CredentialRetrievalError):
        return f"no keys; set {_KEYS}"
    if code in ("NoSuchBucket", "404"):
        return f"there is no bucket {bucket!r} at {server}; create it or correct the location"
    if code in _BAD_KEYS:
        return f"{server} refuses the keys ({code}); correct {_KEYS} or their rights on bucket {bucket!r}"
    if code == "RequestTimeTooSkewed":
        return f"{server} refuses the request because this machine's clock is off; set the clock"
    if code == "QuotaExceeded":
        return f"the quota at {server} is used up; free space or raise it and run the same command again"
    if code in _OUTAGE_CODES:
        return f"{server} is overloaded or down ({code}); run the same command again later or with fewer workers"
    return f"{server} answers {code or type(error).__name__}; check endpoint, region and bucket {bucket!r}"


def shown_endpoint(endpoint: str) -> str:
    """The endpoint without a user or password."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _settings_trouble(error: Exception) -> str:
    """botocore's own words, which name the setting, without a password in an endpoint."""
    return re.sub(r"//[^@\s]*@", "//...@", " ".join(str(error).split())) + "; correct the AWS variables or profile"
