"""The generate job into a real S3 server: the bytes of a local run, few requests, refusals, and no secret anywhere."""

import time
from dataclasses import dataclass

import pyarrow.parquet as pq
import pytest

from cxr.artifact import read_record
from cxr.store import open_store

CANARY = "canary-secret-do-not-print"


@dataclass(frozen=True)
class Bucket:
    """A bucket that holds the small set at `folder`, made by a job with the environment `env`."""

    name: str
    env: dict[str, str]
    said: str  # by the job

    @property
    def folder(self) -> str:
        return f"s3://{self.name}/deep/folder"


@pytest.fixture(scope="module")
def bucket(s3_server, jobs, small, tmp_path_factory) -> Bucket:
    name = s3_server.make_bucket()
    env = {**s3_server.env, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    done = jobs.generate(f"s3://{name}/deep/folder", *small, env=env)
    assert done.returncode == 0, done.stderr
    return Bucket(name, env, done.stdout + done.stderr)


def test_the_same_job_gives_the_same_bytes_as_locally(s3, bucket, small_set, contents):
    assert contents(bucket.folder) == contents(small_set)
    ours, theirs = (read_record(open_store(str(place))) for place in (bucket.folder, small_set))
    assert ours.model_dump(exclude={"timings"}) == theirs.model_dump(exclude={"timings"})


def test_the_same_command_again_writes_nothing(s3, jobs, small, bucket):
    puts, deletes, sessions = len(s3.requests(bucket.name)), len(s3.requests(bucket.name, "DELETE")), jobs.sessions()
    done = jobs.generate(bucket.folder, *small, env=bucket.env)
    assert done.returncode == 0 and "already there: 26 images" in done.stdout
    assert (len(s3.requests(bucket.name)), len(s3.requests(bucket.name, "DELETE"))) == (puts, deletes)
    assert jobs.sessions() == sessions


@pytest.mark.slow
def test_shards_need_few_puts(s3, jobs, small):
    name = s3.make_bucket()
    place = f"s3://{name}/shards"
    done = jobs.generate(place, *small, "--layout", "shards", env=s3.env)
    assert done.returncode == 0, done.stderr
    puts = [key for key, status in s3.requests(name) if status == 200]  # boto repeats one that is answered late: 412
    assert len(puts) <= 1 + 5, puts
    assert pq.read_table(open_store(place).open("shards/00000000.parquet")).num_rows == 26
    assert jobs.verify(place).returncode == 0


def test_verify_reads_back_clean_and_names_what_was_tampered_with(s3, jobs, bucket):
    assert jobs.verify(bucket.folder).returncode == 0
    client, copy = s3.client(), s3.make_bucket()
    pictures = []
    for key, _ in open_store(bucket.folder).list():
        client.copy_object(Bucket=copy, Key=key, CopySource={"Bucket": bucket.name, "Key": f"deep/folder/{key}"})
        pictures += [key] if key.endswith(".png") and key.startswith("images/") else []
    gone, changed = sorted(pictures)[:2]
    client.delete_object(Bucket=copy, Key=gone)
    client.put_object(Bucket=copy, Key=changed, Body=b"other")
    client.put_object(Bucket=copy, Key="images/new.png", Body=b"new")
    done = jobs.verify(f"s3://{copy}")
    assert done.returncode == 1
    told = {f"missing: {gone}", f"damaged: {changed}", "extra: images/new.png"}
    assert set(done.stdout.splitlines()[1:]) == told


def test_keys_that_are_refused_are_told_in_one_line_at_once(jobs, small, bucket):
    began, sessions = time.monotonic(), jobs.sessions()
    env = {**bucket.env, "AWS_SECRET_ACCESS_KEY": CANARY}
    done = jobs.generate(f"s3://{bucket.name}/set", *small, env=env)
    assert done.returncode == 2 and not done.stdout
    assert "refuses the keys (SignatureDoesNotMatch)" in done.stderr and done.stderr.count("\n") == 1
    assert time.monotonic() - began < 20 and jobs.sessions() == sessions
    assert CANARY not in done.stdout + done.stderr


def test_the_secret_is_in_no_output_object_or_log(s3, jobs, bucket):
    secret = s3.env["AWS_SECRET_ACCESS_KEY"]
    assert secret not in bucket.said
    objects = s3.client().list_objects_v2(Bucket=bucket.name)["Contents"]
    assert len(objects) > 26
    for found in objects:
        data = s3.client().get_object(Bucket=bucket.name, Key=found["Key"])["Body"].read()
        assert secret.encode() not in data, found["Key"]
    logs = [path for path in jobs.ray.rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.suffix == ".log" for path in logs)
    assert [path for path in logs if secret.encode() in path.read_bytes()] == []
