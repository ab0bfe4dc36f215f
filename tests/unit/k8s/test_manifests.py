"""The manifests as kustomize renders them: valid in strict mode, whole, closed to others, of jobs that there are."""

import copy
import functools
import importlib
import importlib.util
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import jsonschema
import pytest
import yaml

from cxr import cli, recipes
from cxr.data.sources import SOURCES, SourceOptions, parse_source
from cxr.finetune.config import FinetuneConfig
from cxr.generate.config import GenerateConfig
from cxr.prompts.findings import BINARY, FINDINGS, parse_findings

ROOT = Path(__file__).parents[3]
CRDS = ROOT.parent / "shared" / "data" / "kuberay-crds"
OVERLAYS = ["cpu-small", "gpu", "kueue"]
UNCHECKED = {"PodMonitor", "LocalQueue"}  # no schema of these is at hand
HUB = {"hub:hf-vision/chest-xray-pneumonia": {"normal": 1583, "pneumonia": 4273}}  # pictures, and no texts
SPARE = 0.05  # of a set, as the nightly gate's `max_copy_rate`
MEMORY = {"Mi": 2**20, "Gi": 2**30}

Document = dict[str, Any]


@functools.cache
def rendered(overlay: str) -> list[Document]:
    tool = next((found for name in ("kustomize", "kubectl") if (found := shutil.which(name))), None)
    if tool is None:
        pytest.skip("neither kustomize nor kubectl is installed")
    command = [tool, "build" if tool.endswith("kustomize") else "kustomize", str(ROOT / "k8s" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, yaml.CSafeLoader))


def of_kind(overlay: str, kind: str) -> list[Document]:
    return [document for document in rendered(overlay) if document["kind"] == kind]


def pods(overlay: str) -> Iterator[tuple[str, Document]]:
    """(job and group, pod template) of every pod that will be."""
    for job in of_kind(overlay, "RayJob"):
        name, cluster = job["metadata"]["name"], job["spec"]["rayClusterSpec"]
        yield f"{name}/submitter", job["spec"]["submitterPodTemplate"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            yield f"{name}/{group.get('groupName', 'head')}", group["template"]
    for cron in of_kind(overlay, "CronJob"):
        yield cron["metadata"]["name"], cron["spec"]["jobTemplate"]["spec"]["template"]


@functools.cache
def rayjob_checks() -> jsonschema.Draft7Validator:
    if not CRDS.exists():
        pytest.skip(f"no KubeRay schemas in {CRDS}")
    versions = yaml.load((CRDS / "ray.io_rayjobs.yaml").read_text(), yaml.CSafeLoader)["spec"]["versions"]
    schema = strict(next(v["schema"]["openAPIV3Schema"] for v in versions if v["name"] == "v1"))
    schema["properties"]["metadata"] = {}  # Kubernetes' own
    return jsonschema.Draft7Validator(schema)


def strict(schema: Any) -> Any:
    """The schema without the leave to add fields, as `kubectl --validate=strict` takes it."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: strict(part) for name, part in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    open_ended = {"additionalProperties", "x-kubernetes-preserve-unknown-fields"} & schema.keys()
    return told | (
        {"additionalProperties": False} if isinstance(schema.get("properties"), dict) and not open_ended else {}
    )


def check_rayjob(job: Document) -> None:
    for error in rayjob_checks().iter_errors(job):
        raise error


def check_kubernetes(document: Document) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate: pip install cxr[test]")
    validate.validate(document, "1.31", strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_own_kinds_are_valid_in_strict_mode(overlay):
    own = [document for document in rendered(overlay) if document["kind"] not in UNCHECKED | {"RayJob"}]
    assert {"CronJob", "NetworkPolicy", "Role", "ServiceAccount", "PersistentVolumeClaim"} <= {d["kind"] for d in own}
    for document in own:
        check_kubernetes(document)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_valid_in_strict_mode(overlay):
    for name, template in pods(overlay):
        metadata = {"name": name, **template.get("metadata", {})}
        check_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rayjobs_are_valid_in_strict_mode(overlay):
    for job in of_kind(overlay, "RayJob"):
        check_rayjob(job)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), "backofLimit"),
        (("rayClusterSpec",), "authOption"),
        (("rayClusterSpec", "headGroupSpec", "template", "spec"), "tolerance"),
    ],
)
def test_a_misspelt_field_would_be_seen(path, name):
    job = copy.deepcopy(of_kind("gpu", "RayJob")[0])
    functools.reduce(dict.__getitem__, path, job["spec"])[name] = 1
    with pytest.raises(jsonschema.ValidationError) as caught:
        check_rayjob(job)
    assert name in caught.value.message  # its str() prints the whole schema, which takes a second


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_cluster_asks_for_a_token_and_ends(overlay):
    jobs = of_kind(overlay, "RayJob")
    assert {job["metadata"]["name"] for job in jobs} == {
        "ingest",
        "finetune",
        "generate",
        "evaluate",
        "study",
        "nightly",
    }
    for job in jobs:
        spec = job["spec"]
        assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}
        assert spec["shutdownAfterJobFinishes"] and spec["activeDeadlineSeconds"] and spec["ttlSecondsAfterFinished"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operator_finds_the_dashboard_of_every_head(overlay):
    """KubeRay gives the head's Service its own ports only where the container names none."""
    for name, template in pods(overlay):
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0].get("ports", ())}
        if name.endswith("/head"):
            assert not ports or {"dashboard": 8265, "gcs-server": 6379}.items() <= ports.items(), name
            assert ports["metrics"] == 8080
        elif "/" in name and not name.endswith("/submitter"):
            assert ports == {"metrics": 8080}, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_pod_runs_as_root_or_may_become_it(overlay):
    for name, template in pods(overlay):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"], name
        for container in spec["containers"]:
            held = container["securityContext"]
            assert held["capabilities"] == {"drop": ["ALL"]} and held["readOnlyRootFilesystem"], name
            assert held["allowPrivilegeEscalation"] is False and "memory" in container["resources"]["limits"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_shared_memory_is_at_least_30_percent_of_a_nodes(overlay):
    for name, template in pods(overlay):
        sizes = [v["emptyDir"]["sizeLimit"] for v in template["spec"]["volumes"] if v["name"] == "shm"]
        if "/" in name and not name.endswith("/submitter"):
            memory = template["spec"]["containers"][0]["resources"]["requests"]["memory"]
            assert in_bytes(sizes[0]) >= 0.3 * in_bytes(memory), name


def in_bytes(size: str) -> int:
    return int(size[:-2]) * MEMORY[size[-2:]]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_pods_refer_to_is_there_and_the_keys_come_from_a_secret(overlay):
    there = {(document["kind"], document["metadata"]["name"]) for document in rendered(overlay)}
    for name, template in pods(overlay):
        spec = template["spec"]
        assert ("ServiceAccount", spec["serviceAccountName"]) in there, name
        for volume in spec["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                assert ("PersistentVolumeClaim", claim["claimName"]) in there, name
            if config := volume.get("configMap"):
                assert ("ConfigMap", config["name"]) in there, name
        for source in (s for container in spec["containers"] for s in container.get("envFrom", ())):
            assert source.get("secretRef", {}).get("name") in ("cxr-s3", "cxr-lineage") or (
                ("ConfigMap", source["configMapRef"]["name"]) in there
            ), name
    assert not re.search(r"SECRET_ACCESS_KEY|AUTH_TOKEN|LINEAGE_KEY", json.dumps(rendered(overlay)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_drives_a_job_alone_has_the_key_that_names_patients(overlay):
    holders = {
        name.split("/")[-1]
        for name, pod in pods(overlay)
        for container in pod["spec"]["containers"]
        if {"secretRef": {"name": "cxr-lineage", "optional": True}} in container.get("envFrom", ())
    }
    assert holders == {"head"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_heads_and_the_cronjob_hold_a_key_to_kubernetes(overlay):
    holders = {name.split("/")[-1] for name, pod in pods(overlay) if pod["spec"]["automountServiceAccountToken"]}
    assert holders == ({"nightly"} if overlay == "kueue" else {"nightly", "head"})


def test_no_one_but_the_operator_reaches_the_job_port_from_outside():
    (policy,) = (document["spec"] for document in of_kind("gpu", "NetworkPolicy"))
    assert policy["podSelector"] == {} and set(policy["policyTypes"]) == {"Ingress", "Egress"}
    outside = [rule for rule in policy["ingress"] if any("namespaceSelector" in peer for peer in rule["from"])]
    assert all(rule["from"] and rule["ports"] for rule in outside)
    reaching = [rule["from"] for rule in outside if 8265 in [port["port"] for port in rule["ports"]]]
    assert [peer["podSelector"]["matchLabels"] for (peer,) in reaching] == [
        {"app.kubernetes.io/name": "kuberay-operator"}
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_entrypoint_is_a_job_and_arguments_that_it_takes(overlay):
    assert len(commands(overlay)) == 6


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_job_reads_what_the_one_before_leaves(overlay):
    words = {name: args for name, (_, args) in commands(overlay).items()}
    assert words["finetune"].data == words["evaluate"].real == words["study"].real == words["ingest"].out
    assert words["generate"].config.lora == words["finetune"].out
    assert words["evaluate"].synthetic == words["generate"].out
    assert (words["study"].synthetic, words["study"].evaluation) == (
        (words["evaluate"].quarantine,),
        words["evaluate"].out,
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_findings_and_counts_are_enough_for_the_next_job(overlay):
    """The study needs as many synthetic pictures of a finding as it trains on; `SPARE` of them may be copies."""
    made = {name: job.build_config(args) for name, (job, args) in commands(overlay).items() if name != "nightly"}
    real, has_texts = real_set(commands(overlay)["ingest"][1].source)
    assert has_texts or made["finetune"].captions == "instance"
    assert asked(made["generate"], made["finetune"], real) == set(real)
    assert made["evaluate"].min_samples <= min(made["generate"].per_finding, *real.values())
    trained = math.ceil(made["ingest"].train * max(real.values()))
    needed = max(arm.synthetic for arm in made["study"].arms) / 100 * trained
    assert made["generate"].per_finding * (1 - SPARE) >= needed


@pytest.mark.parametrize("recipe", sorted(recipes.NIGHTLY))
def test_a_nights_findings_and_captions_are_those_of_its_source(recipe):
    nightly, night = importlib.import_module("cxr.jobs.nightly"), recipes.NIGHTLY[recipe]()
    real, has_texts = real_set(night.source)
    assert has_texts or nightly.parse_config(nightly.finetune, night.finetune).captions == "instance"
    trained = nightly.parse_config(nightly.finetune, night.finetune)
    assert asked(nightly.parse_config(nightly.generate, night.generate), trained, real) == set(real)


def asked(generate: GenerateConfig, finetune: FinetuneConfig, real: Counter[str]) -> set[str]:
    """The findings of the set: `all` are those that the model was trained on with a prompt each; of one that learned
    from texts, those of them that the templates know."""
    if generate.findings != "all":
        return set(parse_findings(generate.findings))
    trained = set(real) if finetune.finding == "all" else set(finetune.finding.split(","))
    return trained if finetune.captions == "instance" else trained & {*FINDINGS, *BINARY}


def test_generate_asks_for_the_machines_that_the_cluster_may_grow_to():
    """A job takes what is there when it begins; what it asks for beyond that is what the cluster grows by."""
    _, asked = commands("gpu")["generate"]
    (job,) = (job for job in of_kind("gpu", "RayJob") if job["metadata"]["name"] == "generate")
    (group,) = (g for g in job["spec"]["rayClusterSpec"]["workerGroupSpecs"] if g["groupName"] == "gpu")
    assert asked.workers == group["maxReplicas"] > group["minReplicas"]


@functools.cache
def commands(overlay: str) -> dict[str, tuple[Any, Any]]:
    """(job's module, its arguments) of each RayJob."""
    (place,) = (map_["data"] for map_ in of_kind(overlay, "ConfigMap") if map_["metadata"]["name"] == "cxr-place")
    found = {}
    for job in of_kind(overlay, "RayJob"):
        python, path, *words = shlex.split(Template(job["spec"]["entrypoint"]).substitute(place))
        words += ["--date", "2026-11-21"] if path == "jobs/nightly.py" else []  # the CronJob's part
        assert python == "python"
        module = importlib.import_module(f"cxr.jobs.{Path(path).stem}")
        found[job["metadata"]["name"]] = module, cli.parse(module.Args, words)
    return found


def real_set(source: str) -> tuple[Counter[str], bool]:
    """How many pictures of each finding a source has, and whether they have texts. Not of the hub: it is not asked."""
    if source.startswith("hub:"):
        return Counter(HUB[source]), False
    kind, place = parse_source(source)
    rows = list(SOURCES[kind](place, SourceOptions()))
    return Counter(row.finding for row in rows), all(row.text for row in rows)


def imported(path: Path):
    spec = importlib.util.spec_from_file_location(f"k8s_{path.stem}", path)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("queue", ["", "cxr"])
def test_tonights_job_is_the_suspended_one_set_free(queue):
    start = imported(ROOT / "k8s" / "base" / "start_nightly.py")
    template = next(job for job in of_kind("kueue", "RayJob") if job["metadata"]["name"] == "nightly")
    assert template["spec"]["suspend"] and "kueue.x-k8s.io/queue-name" not in template["metadata"]["labels"]
    job = start.tonight(template, "2026-11-21", queue)
    assert job["metadata"]["name"] == "nightly-2026-11-21" and not job["spec"]["suspend"]
    assert job["spec"]["entrypoint"].endswith("/nightly --date 2026-11-21")
    assert job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name", "") == queue
    assert job["spec"]["rayClusterSpec"] == template["spec"]["rayClusterSpec"]
    check_rayjob(job)


def test_in_a_queue_nothing_starts_by_itself_and_clusters_keep_their_size():
    for job in of_kind("kueue", "RayJob"):
        assert job["spec"]["suspend"] and not job["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"]
