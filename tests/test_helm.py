"""The Helm chart: it renders, Kubernetes would take it, and it says the same as docker-compose.yml and the code.

helm and Kubernetes' schemas come from PyPI (`make test`); HELM names another helm.
"""

import base64
import copy
import importlib.util
import json
import os
import re
import shutil
import subprocess
import threading
import tomllib
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from landing.keeping import queues

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "deploy/helm/breakwater"
CASES = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))

_spec = importlib.util.spec_from_file_location("get_tools", CHART / "ci/get_tools.py")
tools = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tools)

HELM = os.environ.get("HELM") or (str(tools.HELM) if tools.HELM.exists() else shutil.which("helm"))
if not (HELM and all(tools.schema(version).exists() for version in tools.VERSIONS)):
    pytest.skip("no helm or schemas here: `make test` fetches them from PyPI", allow_module_level=True)

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
KNOWN = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
SERVERS = {"RabbitmqCluster", "Cluster", "MongoDBCommunity"}
OPERATORS = {"rabbitmq.com", "postgresql.cnpg.io", "mongodbcommunity.mongodb.com", "keda.sh"}
"""API groups of the operators, whose schemas are not among Kubernetes' own."""


def helm(*arguments: Any, **env: Any) -> Any:
    command = [HELM, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **env}
    )


@cache
def render(case: Any, *settings: Any) -> Any:
    """The resources of one values file, parsed."""
    values = CHART / "ci" / f"{case}-values.yaml"
    done = helm("template", "bw", CHART, "-f", values, *(f"--set-json={one}" for one in settings))
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def find(case: Any, kind: Any, name: Any) -> Any:
    (found,) = [
        one
        for one in render(case)
        if one["kind"] == kind and one["metadata"]["name"] == f"bw-breakwater-{name}"
    ]
    return found


def pods(case: Any) -> Any:
    """Every pod of ours: kind, name, labels, spec."""
    for one in render(case):
        pod = one if one["kind"] == "Pod" else one.get("spec", {}).get("template")
        if one["apiVersion"] in {"v1", "apps/v1", "batch/v1"} and pod:
            yield one["kind"], one["metadata"]["name"], pod["metadata"]["labels"], pod["spec"]


def containers(case: Any) -> Any:
    for _, name, _, spec in pods(case):
        for container in spec.get("initContainers", []) + spec["containers"]:
            yield f"{name}/{container['name']}", container


def env(container: Any) -> Any:
    return {one["name"]: one.get("value") for one in container.get("env", [])}


def compose_env(service: Any) -> Any:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


@pytest.mark.parametrize("case", CASES)
def test_lint_finds_nothing(case: Any) -> None:
    done = helm("lint", "--strict", CHART, "-f", CHART / "ci" / f"{case}-values.yaml")
    assert done.returncode == 0, done.stdout
    assert not re.search(r"\[(WARNING|ERROR)\]", done.stdout), done.stdout


@cache
def validators(version: Any) -> Any:
    """What tells whether Kubernetes takes a resource, by apiVersion and kind."""
    definitions = json.loads(tools.schema(version).read_text().replace('"/api/_definitions.json#', '"#'))[
        "$defs"
    ]
    return {
        (f"{one['group']}/{one['version']}".removeprefix("/"), one["kind"]): jsonschema.Draft202012Validator(
            {"$defs": definitions, "$ref": f"#/$defs/{name}"}
        )
        for name, definition in definitions.items()
        for one in definition.get("x-kubernetes-group-version-kind", [])
    }


def refusals(version: Any, resource: Any) -> Any:
    """What this Kubernetes says against a resource."""
    validator = validators(version)[resource["apiVersion"], resource["kind"]]
    return [error.message for error in validator.iter_errors(resource)]


@pytest.mark.parametrize("version", tools.VERSIONS)
@pytest.mark.parametrize("case", CASES)
def test_kubernetes_would_take_every_resource(case: Any, version: Any) -> None:
    for one in render(case):
        if one["apiVersion"].split("/")[0] not in OPERATORS:
            assert not refusals(version, one), one["metadata"]["name"]


def test_the_schemas_notice_a_mistyped_field_and_a_wrong_type() -> None:
    web = copy.deepcopy(find("small", "StatefulSet", "web"))
    web["spec"]["template"]["spec"]["containers"][0]["liveness"] = {}
    web["spec"]["replicas"] = "one"
    said = " ".join(refusals(tools.VERSIONS[0], web))
    assert "'liveness' was unexpected" in said
    assert "'one' is not of type" in said


@pytest.mark.parametrize("case", CASES)
def test_names_are_short_unique_and_selectors_meet_their_pods(case: Any) -> None:
    resources = render(case)
    names = [(one["kind"], one["metadata"]["name"]) for one in resources]
    assert len(names) == len(set(names))
    assert all(len(name) <= 63 for _, name in names)
    labels = [labels for _, _, labels, _ in pods(case)]
    for one in resources:
        if one["kind"] in {"Service", "PodDisruptionBudget"} and "selector" in one["spec"]:
            selector = one["spec"]["selector"]
            selector = selector.get("matchLabels", selector)
            ours = [one for one in labels if selector.items() <= one.items()]
            assert len(ours) == 1 or is_operators(selector), one["metadata"]["name"]


def is_operators(selector: Any) -> Any:
    """These labels are given by RabbitMQ's, PostgreSQL's or MongoDB's operator."""
    created = {"app.kubernetes.io/name": "bw-breakwater-rabbitmq"}, {"app": "bw-breakwater-mongodb-svc"}
    return selector in (*created, {"cnpg.io/cluster": "bw-breakwater-postgres"})


# The same as Compose


def test_images_are_those_of_compose() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    ours = f"{values['image']['repository']}:{values['image']['tag']}"
    assert ours == re.sub(r"\$\{TAG:-(.+)\}", r"\1", SERVICES["web"]["image"])
    assert values["rabbitmq"]["image"] == SERVICES["rabbitmq"]["image"]
    assert values["redis"]["image"] == SERVICES["redis"]["image"]
    assert SERVICES["mongodb"]["image"] == f"mongo:{values['mongodb']['version'].split('.')[0]}"


def test_the_version_is_the_products() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == project["version"]


@pytest.mark.parametrize("case", CASES)
def test_every_variable_is_one_that_the_code_reads(case: Any) -> None:
    used = set(find(case, "ConfigMap", "settings")["data"])
    for _, container in containers(case):
        used |= set(env(container))
    # Read by our shell scripts, by Flower and by libpq.
    others = {"POSTGRES_WAIT", "FLOWER_UNAUTHENTICATED_API", "PGSSLMODE", "PGSSLROOTCERT"}
    known = KNOWN | set().union(*(compose_env(service) for service in SERVICES)) | others
    assert {name.removesuffix("_FILE") for name in used} <= {name.removesuffix("_FILE") for name in known}


def test_one_block_of_settings_is_shared_by_all() -> None:
    shared = find("operators", "ConfigMap", "settings")["data"]
    # Compose takes the folder of the pages away from those that lack it; a chart mounts it where it belongs.
    assert set(COMPOSE["x-settings"]) - {"SECRET_KEY_FILE", "LANDING_DIR"} <= set(shared)
    for name, container in containers("operators"):
        if "migrate" in name:  # before the ConfigMap is there
            assert shared.items() <= env(container).items()
        elif "redis" not in name:
            assert container["envFrom"] == [{"configMapRef": {"name": "bw-breakwater-settings"}}], name
            assert not set(env(container)) & set(shared), name


@pytest.mark.parametrize("process", ["web", "worker", "migrate", "flower", "toolbox"])
def test_each_process_has_the_login_and_the_secrets_that_it_has_in_compose(process: Any) -> None:
    found = [(spec, c) for name, c in containers("operators") for _, n, _, spec in pods("operators")
             if name.startswith(n) and n == f"bw-breakwater-{process}"]  # fmt: skip
    theirs = {**COMPOSE["x-settings"], **compose_env(process)}
    theirs = {n: v for n, v in theirs.items() if n.endswith(("_USER", "_FILE")) and n != "FLOWER_USER"}
    for spec, container in found:
        ours = {
            n: v for n, v in env(container).items() if n.endswith(("_USER", "_FILE")) and n != "FLOWER_USER"
        }
        assert ours == theirs
        (volume,) = [one["secret"] for one in spec["volumes"] if one["name"] == "secrets"]
        assert sorted(one["path"] for one in volume["items"]) == sorted(SERVICES[process]["secrets"])


@pytest.mark.parametrize("process", ["web", "worker", "migrate", "flower"])
def test_each_process_runs_what_it_runs_in_compose(process: Any) -> None:
    container = dict(containers("operators"))[f"bw-breakwater-{process}/{process}"]
    entrypoint, command = SERVICES[process].get("entrypoint"), SERVICES[process].get("command")
    assert container.get("command") == entrypoint
    ours = " ".join(container.get("args", []))
    theirs = " ".join(command or []).replace("$${WORKER_POOL:-prefork}", "$WORKER_POOL")
    assert ours == theirs


@pytest.mark.parametrize("service", ["web", "worker", "migrate", "flower", "redis", "toolbox"])
def test_memory_limits_are_those_of_compose(service: Any) -> None:
    limits = dict(containers("operators"))[f"bw-breakwater-{service}/{service}"]["resources"]["limits"]
    assert limits["memory"] == SERVICES[service]["mem_limit"].upper() + "i"


@pytest.mark.parametrize("folder", ["redis", "rabbitmq"])
def test_copied_files_are_the_files_of_compose(folder: Any) -> None:
    for ours in (CHART / "files" / folder).iterdir():
        original = ROOT / "docker" / folder / ours.name
        hint = f"cp {original.relative_to(ROOT)} {ours.relative_to(ROOT)}"
        assert ours.read_bytes() == original.read_bytes(), hint


# Closed


@pytest.mark.parametrize("case", CASES)
def test_every_container_is_confined_and_has_its_limits(case: Any) -> None:
    for name, container in containers(case):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
    users = {"bw-breakwater-redis": SERVICES["redis"]["user"]}
    image = re.search(r"^USER (.+)$", (ROOT / "docker/Dockerfile").read_text(), re.MULTILINE)[1]
    for _, name, _, spec in pods(case):
        context = spec["securityContext"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == users.get(name, image), name
        assert context["runAsNonRoot"]
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert not any(spec.get(host) for host in ("hostNetwork", "hostPID", "hostIPC"))


@pytest.mark.parametrize("case", [case for case in CASES if case != "small"])
def test_a_network_policy_covers_every_pod(case: Any) -> None:
    policies = [one["spec"] for one in render(case) if one["kind"] == "NetworkPolicy"]
    for _, name, labels, _ in pods(case):
        kinds = {
            kind
            for policy in policies
            if policy["podSelector"]["matchLabels"].items() <= labels.items()
            for kind in policy["policyTypes"]
        }
        assert kinds == {"Ingress", "Egress"}, name
    created = [one for one in render(case) if one["apiVersion"].split("/")[0] in OPERATORS]
    closed = [one["podSelector"]["matchLabels"] for one in policies]
    assert sum(map(is_operators, closed)) == sum(one["kind"] in SERVERS for one in created)


def test_as_in_compose_nobody_comes_in_but_through_the_front() -> None:
    sources = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]["ingress"]
        for one in render("operators")
        if one["kind"] == "NetworkPolicy"
    }
    assert not any(sources[process] for process in ("worker", "migrate", "toolbox"))
    assert all("namespaceSelector" in peer for peer in sources["web"][0]["from"])
    # One way from outside the namespace into each server at most: its operator, or KEDA.
    for server in ("redis", "mongodb"):
        assert all("podSelector" in peer for rule in sources[server] for peer in rule["from"])
    writers = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for peer in sources["mongodb"][0]["from"]
    ]
    assert writers == ["toolbox", "web", "worker"]
    assert not any("to" not in rule for one in render("operators") if one["kind"] == "NetworkPolicy"
                   for rule in one["spec"].get("egress", []))  # fmt: skip


def test_prometheus_reaches_the_web_and_only_a_named_collector_takes_traces() -> None:
    setting = 'networkPolicy.collector=[{"podSelector": {"matchLabels": {"app": "collector"}}}]'
    for settings, senders in ((), []), ((setting,), ["web", "worker"]):
        policies = [one for one in render("operators", *settings) if one["kind"] == "NetworkPolicy"]
        assert [
            one["metadata"]["labels"]["app.kubernetes.io/component"]
            for one in policies
            if any(rule["ports"][0]["port"] == 4318 for rule in one["spec"].get("egress", []))
        ] == senders
    assert "monitoring" in str(find("operators", "NetworkPolicy", "web")["spec"]["ingress"])


def test_the_ingress_leads_to_the_web_and_not_into_the_admin() -> None:
    rules = find("operators", "Ingress", "web")["spec"]["rules"]
    paths = {path["path"]: path["backend"]["service"]["name"] for path in rules[0]["http"]["paths"]}
    closed = dict.fromkeys(("/admin", "/ops", "/metrics"), "bw-breakwater-closed")
    assert paths == closed | {"/": "bw-breakwater-web"}
    assert "selector" not in find("operators", "Service", "closed")["spec"]
    assert {
        one["http"]["paths"][0]["path"] for one in find("external", "Ingress", "web")["spec"]["rules"]
    } == {"/"}
    assert not [one for one in render("small") if one["kind"] == "Ingress"]


def test_nothing_is_reached_from_outside_but_by_the_ingress() -> None:
    services = [one["spec"] for case in CASES for one in render(case) if one["kind"] == "Service"]
    assert {one.get("type", "ClusterIP") for one in services} == {"ClusterIP"}


# An operator's commands


def test_the_toolbox_has_a_place_for_a_spool_and_room_for_sorting() -> None:
    pod = find("operators", "Deployment", "toolbox")["spec"]["template"]["spec"]
    volumes = {one["name"]: one.get("emptyDir") for one in pod["volumes"]}
    places = {one["mountPath"]: volumes[one["name"]] for one in pod["containers"][0]["volumeMounts"]}
    assert places[find("operators", "ConfigMap", "settings")["data"]["SPOOL_DIR"]]
    assert places["/tmp"] == {"sizeLimit": "2Gi"}
    assert "/tmp" in SERVICES["toolbox"]["volumes"]


def test_the_toolbox_waits_and_ends_at_once() -> None:
    (container,) = find("operators", "Deployment", "toolbox")["spec"]["template"]["spec"]["containers"]
    waiting = subprocess.Popen(container["command"])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(0.5)
    waiting.terminate()
    waiting.wait(2)


def test_helm_test_runs_doctor_as_the_toolbox() -> None:
    test = find("operators", "Pod", "doctor")
    toolbox = find("operators", "Deployment", "toolbox")["spec"]["template"]
    assert test["metadata"]["labels"] == toolbox["metadata"]["labels"]
    (ours,), (theirs,) = test["spec"]["containers"], toolbox["spec"]["containers"]
    differ = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)}
    assert differ == {"name", "command"}
    assert ours["command"] == [*SERVICES["toolbox"]["entrypoint"], "doctor"]


def test_the_toolbox_reaches_the_web_and_flower() -> None:
    policies = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: one["spec"]
        for one in render("operators")
        if one["kind"] == "NetworkPolicy"
    }
    for process, port in (("web", 8000), ("flower", 5555)):
        rule = {"ports": [{"port": port, "protocol": "TCP"}]}
        me, it = (peer_of(policies[one]) for one in ("toolbox", process))
        assert rule | {"from": [me]} in policies[process]["ingress"]
        assert rule | {"to": [it]} in policies["toolbox"]["egress"]


def peer_of(policy: Any) -> Any:
    return {"podSelector": policy["podSelector"]}


def test_without_the_toolbox_helm_test_remains() -> None:
    names = {one["metadata"]["name"] for one in render("small")}
    assert "bw-breakwater-toolbox" not in names
    assert "bw-breakwater-doctor" in names


# What was accepted stays


@pytest.mark.parametrize("case", CASES)
def test_the_spool_outlives_its_pod(case: Any) -> None:
    web = find(case, "StatefulSet", "web")["spec"]
    assert web["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = web["volumeClaimTemplates"]
    spool_dir = find(case, "ConfigMap", "settings")["data"]["SPOOL_DIR"]
    pod = web["template"]["spec"]
    (drain,), (server,) = pod["initContainers"], pod["containers"]
    for container in (drain, server):
        assert {"name": claim["metadata"]["name"], "mountPath": spool_dir} in container["volumeMounts"]
    assert drain["restartPolicy"] == "Always"
    assert "drain_spool --until-empty" in drain["args"][0]


def test_a_spool_has_room_for_all_processes_twice() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["web"]
    quota = int(re.search(r"^# SPOOL_QUOTA=(\d+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)[1])
    assert int(values["spool"]["size"].removesuffix("Gi")) * 2**30 >= 2 * values["processes"] * quota


def test_there_is_time_to_answer_and_to_drain() -> None:
    web = find("operators", "StatefulSet", "web")["spec"]["template"]["spec"]
    gunicorn = (ROOT / "config/gunicorn.conf.py").read_text()
    graceful = int(re.search(r"^graceful_timeout = (\d+)$", gunicorn, re.MULTILINE)[1])
    pause = int(web["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = int(re.search(r"--timeout (\d+)", web["initContainers"][0]["args"][0])[1])
    assert web["terminationGracePeriodSeconds"] >= pause + graceful + drain
    worker = find("operators", "Deployment", "worker")["spec"]["template"]["spec"]
    grace = int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    assert worker["terminationGracePeriodSeconds"] >= grace


def test_servers_are_clusters_that_outlive_the_release() -> None:
    created = [one for one in render("operators") if one["kind"] in SERVERS]
    assert len(created) == 3
    for one in created:
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        spec = one["spec"]
        assert (spec.get("replicas") or spec.get("instances") or spec.get("members")) == 3
    postgres = find("operators", "Cluster", "postgres")["spec"]
    assert postgres["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert postgres["primaryUpdateStrategy"] == "unsupervised"  # from values: spec
    rabbitmq = find("operators", "RabbitmqCluster", "rabbitmq")["spec"]
    assert "consumer_timeout = 864000000" in rabbitmq["rabbitmq"]["additionalConfig"]
    assert "vm_memory_high_watermark" not in rabbitmq["rabbitmq"]["additionalConfig"]
    (container,) = rabbitmq["override"]["statefulSet"]["spec"]["template"]["spec"]["containers"]
    mounts = {one["mountPath"] for one in container["volumeMounts"]}
    # Not the folder: the operator's pods have a token in it, and a mount in a read-only mount fails.
    assert "/run/secrets" not in mounts
    assert {f"/run/secrets/{name}" for name in SERVICES["rabbitmq"]["secrets"]} <= mounts
    assert not [one for one in render("external") if one["apiVersion"].split("/")[0] in OPERATORS]


def test_postgresql_has_the_roles_of_compose() -> None:
    spec = find("operators", "Cluster", "postgres")["spec"]
    statements = " ".join(spec["bootstrap"]["initdb"]["postInitApplicationSQL"])
    for role in re.findall(r"breakwater_\w+", (ROOT / "docker/postgres/roles.sh").read_text()):
        named = {one["name"] for one in spec["managed"]["roles"]} | {spec["bootstrap"]["initdb"]["owner"]}
        assert role in named
    for line in (ROOT / "docker/postgres/roles.sh").read_text().splitlines():
        if line.startswith(("REVOKE", "GRANT")):
            assert line.rstrip(";").replace(':"database"', '"breakwater"') in statements


def test_mongodb_has_the_rights_of_compose() -> None:
    spec = find("operators", "MongoDBCommunity", "mongodb")["spec"]
    script = (ROOT / "docker/mongodb/users.js").read_text()
    for role in spec["security"]["roles"]:
        (privilege,) = role["privileges"]
        assert (
            f"stand('role', '{role['role']}', {{ privileges: [{{ resource: logs, actions: ['{privilege['actions'][0]}'] }}]"
            in script
        )
    logins = {one["name"]: [role["name"] for role in one["roles"]] for one in spec["users"]}
    assert logins.pop("admin") == ["root"]
    assert set(logins) == {"web", "worker", "toolbox"}
    for name, roles in logins.items():
        line = re.search(rf"^stand\('user', '{name}'.*", script, re.MULTILINE)[0]
        assert re.findall(r"role: '(\w+)'", line) == roles


def test_tables_come_before_pods_where_servers_stand_already() -> None:
    hook = "helm.sh/hook"
    assert find("external", "Job", "migrate")["metadata"]["annotations"][hook].startswith("pre-install,")
    assert find("operators", "Job", "migrate")["metadata"]["annotations"][hook].startswith("post-install,")
    assert "pre-upgrade" in find("operators", "Job", "migrate")["metadata"]["annotations"][hook]


# It grows


def test_keda_watches_the_queue_of_the_code() -> None:
    scaled = find("operators", "ScaledObject", "worker")["spec"]
    (trigger,) = scaled["triggers"]
    settings = find("operators", "ConfigMap", "settings")["data"]
    assert all(
        re.fullmatch(trigger["metadata"]["queueName"], name) for name in (queues.LIVE, "registrations.1")
    )
    assert not re.fullmatch(trigger["metadata"]["queueName"], queues.DEAD)
    assert trigger["metadata"]["vhostName"] == settings["RABBITMQ_VHOST"]
    assert trigger["metadata"]["host"] == settings["RABBITMQ_MANAGEMENT_URL"] + "/"
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert scaled["scaleTargetRef"]["name"] == find("operators", "Deployment", "worker")["metadata"]["name"]
    login = find("operators", "TriggerAuthentication", "keda")
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    (password,) = login["spec"]["secretTargetRef"]
    (user,) = login["spec"]["configMapTargetRef"]
    name = find("operators", "ConfigMap", "keda")["data"][user["key"]]
    assert password["key"] == f"rabbitmq_{name}"
    users = json.loads((ROOT / "docker/rabbitmq/definitions.json").read_text())["users"]
    assert "monitoring" in {one["name"]: one["tags"] for one in users}[name]


def test_what_scales_by_itself_has_no_fixed_number() -> None:
    assert "replicas" not in find("operators", "StatefulSet", "web")["spec"]
    assert "replicas" not in find("operators", "Deployment", "worker")["spec"]
    target = find("operators", "HorizontalPodAutoscaler", "web")["spec"]
    assert target["scaleTargetRef"]["name"] == "bw-breakwater-web"
    (metric,) = target["metrics"]
    names = [
        one["name"]
        for one in find("operators", "StatefulSet", "web")["spec"]["template"]["spec"]["containers"]
    ]
    assert metric["containerResource"]["container"] in names
    assert find("small", "StatefulSet", "web")["spec"]["replicas"] == 1
    assert find("small", "Deployment", "worker")["spec"]["replicas"] == 1


def test_postgresql_has_a_connection_for_all_that_may_ask() -> None:
    """The formula of docs/scaling.md."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    threads = int(re.search(r"^# WEB_THREADS=(\d+)$", (ROOT / ".env.example").read_text(), re.MULTILINE)[1])
    web, worker = values["web"], values["worker"]
    most = web["autoscaling"]["maxReplicas"] * web["processes"] * (threads + 2)
    most += worker["autoscaling"]["maxReplicas"] * (worker["processes"] + 1) + 20
    assert int(values["postgresql"]["parameters"]["max_connections"]) >= most


@pytest.mark.parametrize("process", ["web", "worker"])
def test_pods_are_spread_and_go_one_at_a_time(process: Any) -> None:
    kind = "StatefulSet" if process == "web" else "Deployment"
    spec = find("operators", kind, process)["spec"]["template"]["spec"]
    assert [one["topologyKey"] for one in spec["topologySpreadConstraints"]] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert find("operators", "PodDisruptionBudget", process)["spec"]["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("zones", "unsatisfiable"),
    [("required", "DoNotSchedule"), ("preferred", "ScheduleAnyway"), ("none", None)],
)
def test_servers_are_spread_over_zones_as_the_values_say(zones: str, unsatisfiable: str | None) -> None:
    rendered = render("operators", f'scheduling.zones="{zones}"')
    specs = {one["kind"]: one["spec"] for one in rendered if one["kind"] in SERVERS}
    spread = [
        specs["Cluster"],
        specs["RabbitmqCluster"]["override"]["statefulSet"]["spec"]["template"]["spec"],
        specs["MongoDBCommunity"]["statefulSet"]["spec"]["template"]["spec"],
    ]
    for spec in spread:
        told = [
            (one["topologyKey"], one["whenUnsatisfiable"])
            for one in spec.get("topologySpreadConstraints", [])
        ]
        assert told == ([("topology.kubernetes.io/zone", unsatisfiable)] if unsatisfiable else [])


@pytest.mark.parametrize("case", CASES)
def test_pods_of_a_lost_node_are_replaced_after_half_a_minute(case: Any) -> None:
    for _, name, _, spec in pods(case):
        waits = {one["key"]: one.get("tolerationSeconds") for one in spec["tolerations"]}
        assert waits["node.kubernetes.io/unreachable"] == waits["node.kubernetes.io/not-ready"] == 30, name


def test_a_job_brings_the_spool_of_a_lost_web_to_rabbitmq() -> None:
    assert not [one for one in render("operators") if one["metadata"]["name"].endswith("-rescue")]
    rendered = render("operators", 'rescue.claim="spool-bw-breakwater-web-1"')
    (job,) = [one for one in rendered if one["kind"] == "Job" and one["metadata"]["name"].endswith("-rescue")]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:4] == ["python", "manage.py", "drain_spool", "--until-empty"]
    claims = {
        one["name"]: one["persistentVolumeClaim"]["claimName"]
        for one in pod["volumes"]
        if "persistentVolumeClaim" in one
    }
    assert claims == {"spool": "spool-bw-breakwater-web-1"}
    (service,) = [
        one for one in rendered if one["kind"] == "Service" and one["metadata"]["name"] == "bw-breakwater-web"
    ]
    # No visitor may be led to it.
    assert not service["spec"]["selector"].items() <= job["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("case", CASES)
def test_without_mongodb_nothing_knows_of_one_and_postgresql_has_the_request_log(case: Any) -> None:
    rendered = render(case, 'mongodb={"enabled": false, "create": false, "host": "", "peers": []}')
    assert "mongodb" not in json.dumps(rendered).lower()
    (settings,) = [one["data"] for one in rendered if one["metadata"]["name"].endswith("-settings")]
    assert settings["LOGS_STORE"] == "logs.postgresql.PostgresStore"


def test_without_mongodb_another_store_may_be_named_and_mongodb_may_not() -> None:
    chosen = 'settings={"LOGS_STORE": "logs.elastic.ElasticStore"}'
    rendered = render("small", 'mongodb={"enabled": false}', chosen)
    (settings,) = [one["data"] for one in rendered if one["metadata"]["name"].endswith("-settings")]
    assert settings["LOGS_STORE"] == "logs.elastic.ElasticStore"
    wrong = ("--set-json", 'settings={"LOGS_STORE": "logs.stores.MongoStore"}')
    done = helm(
        "template",
        "bw",
        CHART,
        "-f",
        CHART / "ci/small-values.yaml",
        "--set",
        "mongodb.enabled=false",
        *wrong,
    )
    assert "settings.LOGS_STORE is MongoDB" in done.stderr


# Wrong values are said

WRONG = {
    'existingSecret=""': "existingSecret is not set",
    'existingSecret="CHANGE-ME"': "is a placeholder",
    "hosts=[]": "hosts is empty",
    'hosts=["*"]': "lets every Host pass",
    "trustedProxies=[]": "trustedProxies is empty",
    'trustedProxies=["0.0.0.0/0"]': "every visitor may choose",
    'postgresql.host=""': "postgresql.host is not set",
    'rabbitmq.host="localhost"': "which is the pod itself",
    "redis.peers=[]": "redis.peers is empty",
    "postgresql.create=true": "postgresql.roleSecrets.owner is not set",
    'settings={"DEBUG": "on"}': "settings.DEBUG is on",
    'settings={"CORS_ALLOWED_ORIGINS": "*"}': "CORS_ALLOWED_ORIGINS has *",
    'settings={"POSTGRES_PASSWORD": "x"}': "belongs into the Secret",
    'settings={"POSTGRES_HOST": "x"}': "decided by another value",
    'settings={"lower": "x"}': "lower",
    'mongodb={"enabled": false, "create": true}': "mongodb.create is on, and mongodb.enabled is off",
    "rabbitmq.replicas=2": "rabbitmq.replicas",
    'web.spool.size="much"': "web.spool.size",
    "web.proceses=3": "proceses",
}


@pytest.mark.parametrize("value", WRONG)
def test_a_wrong_value_is_refused_by_name(value: Any) -> None:
    done = helm("template", "bw", CHART, "-f", CHART / "ci/external-values.yaml", "--set-json", value)
    assert done.returncode
    said = done.stderr.replace("'", "").replace("/", ".")
    assert WRONG[value].replace("'", "") in said, done.stderr


def test_all_that_is_missing_is_said_at_once() -> None:
    done = helm("template", "bw", CHART)
    for name in ("existingSecret", "hosts", "postgresql.host", "rabbitmq.host", "mongodb.host"):
        assert f"- {name} is" in done.stderr


class Cluster(BaseHTTPRequestHandler):
    """As much of a Kubernetes API server as `lookup` asks."""

    secret: dict[str, str] | None = None

    def do_GET(self) -> None:
        resources = [
            {
                "name": f"{kind.lower()}s",
                "kind": kind,
                "namespaced": True,
                "singularName": "",
                "verbs": ["get"],
            }
            for kind in ("Secret", "ConfigMap")
        ]
        answers = {
            "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": resources},
            "/api/v1/namespaces/shop/configmaps/kube-root-ca.crt": {"apiVersion": "v1", "kind": "ConfigMap"},
        }
        if self.secret is not None:
            data = {name: base64.b64encode(value.encode()).decode() for name, value in self.secret.items()}
            answers["/api/v1/namespaces/shop/secrets/breakwater"] = {
                "apiVersion": "v1",
                "kind": "Secret",
                "data": data,
            }
        answer = answers.get(self.path.partition("?")[0])
        missing = {
            "apiVersion": "v1",
            "kind": "Status",
            "status": "Failure",
            "reason": "NotFound",
            "code": 404,
        }
        body = json.dumps(answer or missing).encode()
        self.send_response(200 if answer else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def install(tmp_path: Path) -> Any:
    """Try an installation into a cluster with this Secret, and return what is said."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(config))

    def attempt(secret: Any) -> Any:
        Cluster.secret = secret
        values = CHART / "ci/external-values.yaml"
        arguments = ("template", "bw", CHART, "-n", "shop", "-f", values, "--dry-run=server")
        done = helm(*arguments, KUBECONFIG=str(tmp_path / "config"), HOME=str(tmp_path), NO_PROXY="127.0.0.1")
        assert done.returncode  # at the latest when it finds no Deployment in this cluster
        return done.stderr

    yield attempt
    server.shutdown()
    server.server_close()


@pytest.fixture
def secret(tmp_path: Path) -> Any:
    """What docker/make_secrets.sh makes, as README.md puts it into a Secret."""
    subprocess.run(
        ["sh", ROOT / "docker/make_secrets.sh"],
        env={**os.environ, "SECRETS_DIR": str(tmp_path / "secrets")},
        check=True,
        capture_output=True,
    )
    return {
        path.name: path.read_text().strip() for path in (tmp_path / "secrets").iterdir() if path.is_file()
    }


def test_a_cluster_without_the_secret_is_refused(install: Any) -> None:
    assert "the Secret breakwater is not in namespace shop" in install(None)


def test_made_secrets_are_taken_and_weak_ones_are_refused(install: Any, secret: Any) -> None:
    assert "would not run" not in install(secret)
    weak = {
        "secret_key": "short-but-random-9f3a",
        "postgres_web": "changeme-changeme",
        "rabbitmq_web": "guest",
        "redis_web": "9f3a5b7c9f3a5b7c9f3a\n",
    }
    said = install({name: value for name, value in secret.items() if name != "mongodb_web"} | weak)
    assert "secret_key in the Secret breakwater is too short" in said
    assert "postgres_web in the Secret breakwater is a placeholder" in said
    assert "rabbitmq_web in the Secret breakwater is a placeholder" in said
    assert "redis_web in the Secret breakwater holds a space or line end" in said
    assert "the Secret breakwater has no mongodb_web" in said
    assert said.count("\n  - ") == 5


def test_a_cluster_of_rabbitmq_may_be_named_by_its_nodes() -> None:
    (settings,) = [
        one["data"]
        for one in render("external", 'rabbitmq.host="n1,n2:5673"')
        if one["kind"] == "ConfigMap" and one["metadata"]["name"] == "bw-breakwater-settings"
    ]
    assert settings["RABBITMQ_HOST"] == "n1,n2:5673"
    assert settings["RABBITMQ_MANAGEMENT_URL"] == "http://n1:15672,http://n2:15672"
