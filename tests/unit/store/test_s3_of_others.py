"""S3 that is not AWS: what an endpoint cannot is asked for once and done without; every reader asks the same way."""

import io
import re
import shutil
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cxr.errors import BadInput, StoreError
from cxr.store import capabilities, open_store, s3_client, sha256

SECRET = "canarysecret-do-not-print"
SHA256, MD5 = "x-amz-checksum-sha256", "content-md5"


@pytest.fixture
def store(fake):
    return open_store("s3://bucket/set")


def puts(fake) -> list[dict[str, str]]:
    return [headers for verb, headers in fake.log if verb == "PUT"]


def test_an_endpoint_that_takes_no_checksums_is_asked_once_and_gets_md5s(fake, store, caplog):
    fake.manners = {"no checksums"}
    assert store.put_if_absent("commit", b"x")
    store.put("a", b"1")
    capabilities._known.clear()  # as in the machine's next process
    store.put("b", b"2")
    assert {key: value for key, value in fake.objects.items() if key != "/bucket/set/commit"} == {
        "/bucket/set/a": b"1",
        "/bucket/set/b": b"2",
    }
    assert [SHA256 in headers for headers in puts(fake)] == [True, False, False, False, False]
    assert all(MD5 in headers for headers in puts(fake)[1:])
    told = [record.message for record in caplog.records]
    assert len(told) == 1 and "takes no SHA-256 checksums" in told[0] and "jobs/verify.py" in told[0]


def test_an_endpoint_that_takes_them_gets_nothing_else(fake, store):
    store.put("a", b"1")
    store.put("b", b"2")
    assert [(SHA256 in headers, MD5 in headers) for headers in puts(fake)] == [(True, False)] * 2


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidArgument"])
def test_a_refusal_of_something_else_is_not_taken_for_one_of_checksums(fake, store, code):
    fake.always = code
    with pytest.raises(StoreError, match=code):
        store.put("a", b"1")
    fake.always = ""
    store.put("a", b"1")
    assert SHA256 in puts(fake)[-1]


def test_reading_asks_for_no_checksum(fake, store):
    fake.manners = {"no checksums"}
    fake.objects["/bucket/set/k"] = b"data"
    assert store.get("k") == b"data" and store.exists("k") and store.read_back("k").size == 4


@pytest.mark.parametrize("manners", [{"no multi-delete"}, {"no checksums"}, {"no multi-delete", "no checksums"}])
def test_where_many_cannot_be_deleted_at_once_each_is(fake, store, caplog, manners):
    fake.objects |= {f"/bucket/set/{number}": b"x" for number in range(30)} | {"/bucket/set/stays": b""}
    fake.manners = manners
    store.delete(["absent", *map(str, range(30))])
    store.delete(["absent"])
    assert list(fake.objects) == ["/bucket/set/stays"]
    assert [verb for verb, _ in fake.log].count("POST") == 1
    assert sum("deletes one object a request" in record.message for record in caplog.records) == 1


def test_where_they_can_they_are(fake, store):
    fake.objects |= {f"/bucket/set/{number}": b"x" for number in range(30)}
    store.delete(map(str, range(30)))
    assert not fake.objects and [verb for verb, _ in fake.log] == ["POST"]


def test_keys_without_the_right_to_delete_are_no_missing_ability(fake, store):
    fake.always = "AccessDenied"
    with pytest.raises(StoreError, match="AccessDenied"):
        store.delete(["a"])
    assert capabilities.lookup(fake.endpoint, "bucket", "multi_delete") is None


def test_an_endpoint_that_takes_neither_conditions_nor_checksums(fake, store):
    fake.manners = {"no conditions", "no checksums"}
    assert store.put_if_absent("a", b"1") and not store.put_if_absent("a", b"2")
    assert fake.objects == {"/bucket/set/a": b"1"}
    able = {what: capabilities.lookup(fake.endpoint, "bucket", what) for what in capabilities.CONSEQUENCES}
    assert able == {"conditional": False, "checksums": False, "multi_delete": None}


def test_parquet_is_read_below_the_endpoints_path_by_column(fake, aws):
    fake.below = "/storage/v1/s3"
    aws.setenv("AWS_ENDPOINT_URL_S3", fake.endpoint)
    store, file = open_store("s3://bucket/set"), io.BytesIO()
    pq.write_table(
        pa.table({"n": range(5000), "text": [sha256(b"%d" % n) for n in range(5000)]}), file, row_group_size=1000
    )
    store.put("catalog.parquet", file.getvalue())
    assert pq.read_table(store.open("catalog.parquet"), columns=["n"])["n"].to_pylist() == list(range(5000))
    asked = [headers["range"] for verb, headers in fake.log if verb == "GET"]
    assert sum(int(r.split("-")[1]) - int(r.split("=")[1].split("-")[0]) for r in asked) < len(file.getvalue()) / 2
    with store.open("catalog.parquet") as whole:
        assert whole.read() == file.getvalue()


@pytest.mark.parametrize("reading", ["whole table", "row groups"])
def test_what_fails_while_parquet_is_read_is_told_as_everywhere(fake, store, monkeypatch, reading):
    file = io.BytesIO()
    pq.write_table(pa.table({"n": range(10)}), file)
    store.put("catalog.parquet", file.getvalue())
    opened = store.open("catalog.parquet")
    monkeypatch.setattr(s3_client, "_MAX_OUTAGE_S", 0.1)
    fake.always = "SlowDown"
    with pytest.raises(StoreError, match="overloaded or down"):
        pq.read_table(opened) if reading == "whole table" else list(pq.ParquetFile(opened).iter_batches())


def test_a_public_bucket_is_read_without_keys_and_said(fake, aws, capsys):
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    fake.objects["/bucket/set/k"] = b"data"
    store = open_store("s3://bucket/set")
    store.check(write=False)
    assert store.get("k") == b"data"
    assert "read unsigned, as a public bucket" in capsys.readouterr().err
    assert not any("authorization" in headers for _, headers in fake.log)
    for refused, write in ((BadInput, store.check), (StoreError, lambda: store.put("a", b""))):
        with pytest.raises(refused, match=r"no keys.*set AWS_ACCESS_KEY_ID"):
            write()
    assert not puts(fake)


def test_a_bucket_that_is_not_public_wants_keys(fake, aws):
    aws.delenv("AWS_ACCESS_KEY_ID")
    aws.delenv("AWS_SECRET_ACCESS_KEY")
    fake.always = "AccessDenied"
    with pytest.raises(BadInput, match="none were found, so it was asked without; set AWS_ACCESS_KEY_ID"):
        open_store("s3://bucket/set").check(write=False)


@pytest.mark.parametrize(("style", "path"), [("", "/bucket?"), ("path", "/bucket?"), ("virtual", "/?")])
def test_the_profiles_addressing_style_is_followed(aws, tmp_path, style, path):
    """A proxy sees the address that was asked for, of a host that has no name."""
    asked = []

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        wanted = f"s3 =\n  addressing_style = {style}\n" if style else ""
        (tmp_path / "config").write_text(f"[default]\n{wanted}")
        settings = {"CONFIG_FILE": str(tmp_path / "config"), "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}
        for name, value in settings.items():
            aws.setenv(f"AWS_{name}", value)
        aws.setenv("AWS_ENDPOINT_URL", "http://s3.hospital.example")
        aws.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_address[1]}")
        with pytest.raises(BadInput):
            open_store("s3://bucket/set").check()
        proxy.shutdown()
    host = "bucket." if style == "virtual" else ""
    assert asked[0].startswith(f"http://{host}s3.hospital.example{path}")


def test_the_region_is_read_from_either_variable(fake, aws):
    aws.setenv("AWS_REGION", "eu-central-9")
    open_store("s3://bucket/set").put("k", b"")
    assert "/eu-central-9/s3/" in fake.log[-1][1]["authorization"]


def told(aws, **settings: str) -> str:
    """What is said of a place with these settings, in one line and without a secret."""
    for name, value in ({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": SECRET} | settings).items():
        aws.setenv(name, value) if value else aws.delenv(name, raising=False)
    with pytest.raises(BadInput) as caught:
        open_store("s3://bucket/set").check()
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    return str(caught.value)


PROFILES = """
[profile lab]
sso_session = lab
sso_account_id = 111122223333
sso_role_name = Reader
region = eu-central-1
[sso-session lab]
sso_start_url = https://example.awsapps.com/start
sso_region = eu-central-1
[profile tool]
credential_process = /nowhere/keys
[profile half]
aws_access_key_id = k
[profile authority]
aws_access_key_id = k
aws_secret_access_key = s
ca_bundle = /nowhere/house.pem
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"AWS_PROFILE": "lab"},
            r"login of profile 'lab' \(AWS_PROFILE\) has expired .*run `aws sso login --profile lab`",
        ),
        ({"AWS_PROFILE": "labb"}, r"\(labb\) could not be found; AWS_PROFILE: did you mean lab"),
        ({"AWS_PROFILE": "tool"}, r"/nowhere/keys.*profile 'tool'"),
        ({"AWS_PROFILE": "half"}, r"Partial credentials.*aws_secret_access_key"),
        ({"AWS_PROFILE": "authority"}, r"ca_bundle of the profile\) /nowhere/house.pem: no file that can be read"),
        ({"AWS_CA_BUNDLE": "/nowhere/house.pem"}, r"AWS_CA_BUNDLE .*/nowhere/house.pem: no file that can be read"),
        ({"REQUESTS_CA_BUNDLE": "/nowhere/house.pem"}, "REQUESTS_CA_BUNDLE /nowhere/house.pem: no file"),
        ({"AWS_ENDPOINT_URL": "minio.lab:9000"}, "begins with http:// or https://, correct the AWS variables"),
        ({"AWS_ENDPOINT_URL": "http://no-such-host.invalid"}, "its name is unknown"),
        (
            {"AWS_ENDPOINT_URL": "http://s3.lab.example", "HTTP_PROXY": f"http://me:{SECRET}@127.0.0.1:9"},
            "not reached through the proxy http://127.0.0.1:9 of HTTP_PROXY; correct it, or list the host in NO_PROXY",
        ),
    ],
)
def test_settings_that_lead_nowhere_name_the_variable_or_profile(aws, tmp_path, settings, said):
    (tmp_path / "config").write_text(PROFILES)
    if "AWS_PROFILE" in settings:
        settings = settings | {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    assert re.search(said, told(aws, AWS_CONFIG_FILE=str(tmp_path / "config"), **settings))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("ExpiredToken", "AWS_SECRET_ACCESS_KEY have expired; get new ones"),
        ("InvalidAccessKeyId", "does not know those of the variables AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "the secret does not belong to the key"),
        ("AccessDenied", "or their rights on bucket 'bucket'"),
        ("NoSuchBucket", "there is no bucket 'bucket'"),
        ("AuthorizationHeaderMalformed", "another region .*set AWS_REGION"),
        ("PermanentRedirect", "redirects every request; give the endpoint that it redirects to"),
        ("SecondLevelDomainForbidden", "addressing_style = virtual"),
    ],
)
def test_a_refusal_names_its_cause(fake, aws, code, said):
    fake.always = code
    assert re.search(said, told(aws))


def test_a_session_token_that_was_left_over_is_named(fake, aws):
    fake.always = "InvalidToken"
    assert "AWS_SESSION_TOKEN does not belong to them; unset it" in told(aws, AWS_SESSION_TOKEN="old")


@pytest.mark.parametrize("code", ["RequestTimeTooSkewed", "AccessDenied"])
def test_a_clock_that_is_off_is_told_with_how_much(fake, aws, code):
    fake.always, fake.clock = code, 40 * 60
    assert "this machine's clock is off by 40 minutes (behind); set the clock" in told(aws)


def test_a_web_page_is_told_from_s3(fake, aws):
    """As MinIO's console answers, beside the port of S3."""
    fake.page = b"<!doctype html><html>"
    assert "answers, but not as S3 does" in told(aws)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an authority of its own; its key lies beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here; apt-get install openssl")
    script = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    file = tmp_path_factory.mktemp("house") / "house.pem"
    command = ["openssl", *script.split(), "-keyout", file.with_name("key"), "-out", file]
    subprocess.run(command, check=True, capture_output=True)
    return file


@pytest.fixture
def house(fake, aws, certificate):
    """The endpoint behind TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key"))
    fake.socket = context.wrap_socket(fake.socket, server_side=True)
    aws.setenv("AWS_ENDPOINT_URL_S3", fake.endpoint.replace("http:", "https:"))
    return certificate


def test_a_houses_own_authority_is_asked_for_at_once(house, aws):
    began = time.monotonic()
    assert "an authority that is not trusted here" in (said := told(aws)) and "set AWS_CA_BUNDLE" in said
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_houses_own_authority_is_trusted_by_all_that_reads(house, aws, name):
    aws.setenv(name, str(house))
    store, file = open_store("s3://bucket/set"), io.BytesIO()
    pq.write_table(pa.table({"n": range(10)}), file)
    store.check()
    store.put("t.parquet", file.getvalue())
    assert pq.read_table(store.open("t.parquet")).num_rows == 10


def test_https_where_http_is_spoken(fake, aws):
    assert "does not speak TLS; give the endpoint with http://" in told(
        aws, AWS_ENDPOINT_URL_S3=fake.endpoint.replace("http:", "https:")
    )
