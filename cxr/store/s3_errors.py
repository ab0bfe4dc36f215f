"""From an error of S3 or of the way to it to one clear line: the true cause, and which variable or profile mends it.

Messages hold nothing secret: of an answer its code, its region and its clock.
"""

import os
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit
from urllib.request import getproxies

import boto3
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from cxr.errors import nearest

KEYS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile in AWS_PROFILE)"
BAD_KEY_CODES = {"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken",
            "AllAccessDisabled", "UserSuspended", "TokenRefreshRequired", "AccessForbidden",
            "InvalidSecurity"}  # fmt: skip
OUTAGE_CODES = {"500", "502", "503", "504", "InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout",
                "409", "ConditionalRequestConflict", "OperationAborted"}  # fmt: skip
CONNECTION_ERRORS = (boto.HTTPClientError, boto.ConnectionError, boto.IncompleteReadError)
_REDIRECT_CODES = {"301", "307", "PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed",
                "IllegalLocationConstraintException", "IncorrectEndpoint"}  # fmt: skip
_HOST_STYLE_CODES = {"PathStyleDomainForbidden", "SecondLevelDomainForbidden", "VirtualHostDomainRequired"}
_LOGIN_ERRORS = (boto.SSOError, boto.TokenRetrievalError, boto.LoginError, boto.NoAuthTokenError)
_MISSING_KEY_ERRORS = (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError,
            boto.MetadataRetrievalError)  # fmt: skip
_KEY_OPERATIONS = ("AssumeRole", "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetRoleCredentials", "CreateToken",
            "GetSessionToken", "CreateOAuth2Token")  # fmt: skip
_NOT_S3 = (
    "answers, but not as S3 does; the endpoint may name a web page, such as the port of a console, or lack its path"
)
_MAX_OFFSET_S = 300  # seconds of difference from which a refusal is the clock's; S3 allows 900


def error_code(error: BaseException | None) -> str:
    """The S3 error code, or the status where the answer had no body; '' for other errors."""
    if not isinstance(error, boto.ClientError):
        return ""
    meta = error.response.get("ResponseMetadata", {})
    return str(error.response.get("Error", {}).get("Code") or meta.get("HTTPStatusCode", ""))


def is_untrusted(error: BaseException) -> bool:
    """Whether no TLS connection can be agreed on, which waiting does not mend."""
    return isinstance(error, boto.SSLError) and "EOF occurred" not in str(error)


def explain_error(error: Exception, bucket: str, endpoint: str) -> str:
    """What is wrong and what to do, in one line."""
    server = strip_credentials(endpoint)
    if isinstance(error, RecursionError) or "recursion depth" in str(
        error
    ):  # botocore asks for the bucket's region, which is redirected as well
        return (
            f"{server} redirects every request; give the endpoint that it redirects to (https:// in place of http://?)"
        )
    if isinstance(error, boto.ClientError):
        return _explain_refusal(error, bucket, server)
    if isinstance(error, boto.SSLError):
        return f"{server} {_explain_tls_error(error)}"
    if isinstance(error, boto.ProxyConnectionError):
        return (
            f"{server} is not reached through the {_describe_proxy(endpoint)}; correct it, or list the host in NO_PROXY"
        )
    if isinstance(error, CONNECTION_ERRORS):
        return (
            f"{server} does not answer ({_explain_silence(error)}); check the endpoint and run the same command again"
        )
    if isinstance(error, ResponseParserError):
        return f"{server} {_NOT_S3}"
    return explain_settings_error(error)


def explain_settings_error(error: Exception) -> str:
    """What is wrong with keys, profile or endpoint, before anything was asked of the server."""
    profile = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    whose = f"profile {profile!r} (AWS_PROFILE)" if profile else "the default profile"
    if isinstance(error, boto.ProfileNotFound):
        return f"{_one_line(error)}; {_suggest_profile(str(profile))}"
    if isinstance(error, _LOGIN_ERRORS):
        login = "login" if isinstance(error, boto.LoginError) else "sso login"
        option = f" --profile {profile}" if profile else ""
        return (
            f"the login of {whose} has expired or was never made; run `aws {login}{option}`, "
            "then the same command again"
        )
    if isinstance(error, _MISSING_KEY_ERRORS):
        return f"no keys ({_one_line(error)}); set {KEYS}"
    if isinstance(error, OSError):
        return f"the AWS settings name a file that cannot be used ({error}); correct the AWS variables or {whose}"
    if isinstance(error, boto.ClientError):
        return f"no keys: {error.operation_name} is refused ({error_code(error)}); correct {whose} or its role"
    if "Invalid endpoint" in str(error) and "://" not in str(error):
        return f"{_one_line(error)}; an endpoint begins with http:// or https://, correct the AWS variables"
    return f"{_one_line(error)}; correct the AWS variables or profile"


def _explain_refusal(error: boto.ClientError, bucket: str, server: str) -> str:
    code, answer = error_code(error), error.response.get("Error", {})
    if code.isdigit() and "html" in _header(error, "content-type") and code != "407":
        return f"{server} {_NOT_S3} ({code})"
    if error.operation_name in _KEY_OPERATIONS:
        return explain_settings_error(error)
    if code == "RequestTimeTooSkewed" or (code in BAD_KEY_CODES and abs(_clock_offset(error)) > _MAX_OFFSET_S):
        return (
            f"{server} refuses the request because this machine's clock is off{_describe_offset(error)}; set the clock"
        )
    if code in ("NoSuchBucket", "404"):
        return f"there is no bucket {bucket!r} at {server} ({code}); create it, or correct the location or the endpoint"
    if code in BAD_KEY_CODES:
        return f"{server} refuses the keys ({code}); {_advise_on_keys(code, bucket)}"
    if code in _REDIRECT_CODES or (code in ("400", "BadRequest", "InvalidRequest") and answer.get("Region")):
        region = answer.get("Region") or _header(error, "x-amz-bucket-region")
        endpoint = f", or the endpoint to {answer['Endpoint']}" if answer.get("Endpoint") else ""
        there = f"set AWS_REGION={region}" if region else f"set AWS_REGION to its region{endpoint}"
        return f"bucket {bucket!r} is in another region than the one asked, or elsewhere ({code}); {there}"
    if code in _HOST_STYLE_CODES:
        return (
            f"{server} wants the bucket in the host's name ({code}); write `s3 =` and below it, indented, "
            "`addressing_style = virtual` into the profile of AWS_CONFIG_FILE"
        )
    if code == "407":
        return f"the proxy before {server} wants a login (407); write it into HTTPS_PROXY, or list the host in NO_PROXY"
    if code == "QuotaExceeded":
        return f"the quota at {server} is used up; free space or raise it and run the same command again"
    if code == "InvalidObjectState":
        return f"an object at {server} is archived ({code}); restore it first"
    if code in OUTAGE_CODES:
        return f"{server} is overloaded or down ({code}); run the same command again later or with fewer workers"
    return f"{server} answers {code}; check endpoint, region and bucket {bucket!r}"


def _advise_on_keys(code: str, bucket: str) -> str:
    source, method = _source_of_keys()
    if method is None:
        return f"none were found, so it was asked without; set {KEYS}, or give a public bucket"
    if code in ("ExpiredToken", "TokenRefreshRequired"):
        return f"those of {source} have expired; get new ones, or log in again"
    if code == "InvalidToken" and os.environ.get("AWS_SESSION_TOKEN"):
        return "AWS_SESSION_TOKEN does not belong to them; unset it, or set all three anew"
    if code in ("InvalidAccessKeyId", "InvalidSecurity"):
        return f"it does not know those of {source}; are they another server's? Correct {KEYS}"
    if code == "SignatureDoesNotMatch":
        return f"in {source} the secret does not belong to the key, or a proxy changes requests; correct {KEYS}"
    return f"those are of {source}; correct {KEYS} or their rights on bucket {bucket!r}"


def _source_of_keys() -> tuple[str, str | None]:
    """Where the keys come from, in words, and botocore's name for it; (…, None) if there are none."""
    try:
        session = boto3.session.Session()
        found = session.get_credentials()
    except (boto.BotoCoreError, boto.ClientError, OSError, ValueError):
        return "the environment", "unknown"
    if found is None:
        return "", None
    if found.method == "env":
        return "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "env"
    return f"profile {session.profile_name!r} ({found.method})", found.method


def _suggest_profile(wanted: str) -> str:
    import botocore.session

    names = botocore.session.Session(profile="default").available_profiles
    return f"AWS_PROFILE: {nearest(wanted, names)}" if names else "unset AWS_PROFILE, or make it with `aws configure`"


def _explain_tls_error(error: Exception) -> str:
    why = str(error)
    if "WRONG_VERSION_NUMBER" in why or "wrong version number" in why or "UNKNOWN_PROTOCOL" in why:
        return "does not speak TLS; give the endpoint with http:// in place of https://"
    reason = re.search(r"certificate verify failed: ([^(\]]+)", why)
    if not reason:
        return f"and this machine do not agree on TLS ({_one_line(error)[-120:]}); check the endpoint and the proxy"
    cause = reason[1].strip()
    if "expired" in cause or "not valid" in cause or "match" in cause.lower():
        return f"shows a certificate that is not good for it ({cause}); mend the server's certificate or the endpoint"
    return (
        f"shows a certificate of an authority that is not trusted here ({cause}); set AWS_CA_BUNDLE to that "
        "authority's PEM file (your IT has it)"
    )


def _explain_silence(error: Exception) -> str:
    name = type(error).__name__
    if isinstance(error, boto.EndpointConnectionError):
        cause = str(error.kwargs.get("error", ""))
        if "resolve" in cause or "Name or service" in cause:
            return "its name is unknown"
    return name


def _describe_proxy(endpoint: str) -> str:
    scheme = urlsplit(endpoint).scheme
    name = next((n for n in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy") if os.environ.get(n)), "")
    address = strip_credentials(getproxies().get(scheme, ""))
    return f"proxy {address} of {name.upper()}" if name else "proxy that the environment names"


def _clock_offset(error: boto.ClientError) -> float:
    """Seconds that this machine is ahead of the server; 0 if the answer has no date."""
    try:
        return (datetime.now(UTC) - parsedate_to_datetime(_header(error, "date"))).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _describe_offset(error: boto.ClientError) -> str:
    off = round(_clock_offset(error) / 60)
    return f" by {abs(off)} minutes ({'ahead' if off > 0 else 'behind'})" if off else ""


def _header(error: boto.ClientError, name: str) -> str:
    return str(error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(name, ""))


def strip_credentials(endpoint: str) -> str:
    """The endpoint without a user or password."""
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _one_line(error: Exception) -> str:
    """botocore's own message, which names the setting, without a password in an endpoint."""
    return re.sub(r"//[^@\s]*@", "//...@", " ".join(str(error).split())).rstrip(".")
