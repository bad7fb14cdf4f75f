"""What the agents' tests share: small logs of many systems, each with a healthy twin, and the cause that is
wrong in the other.
"""

from pathlib import Path

import pytest

LOGS = Path(__file__).with_name("logs")

# The cause class that a careful reader finds in each `<name>.sick.txt`; `<name>.well.txt` is the same system
# with nothing wrong.
CAUSES = {
    "access": "http_errors",
    "cpu": "cpu",
    "disk_full": "disk_full",
    "dns": "dns",
    "hardware": "hardware",
    "jvm": "memory",
    "k8s_events": "cluster",
    "k8s_oom": "memory",
    "kafka": "queue",
    "kernel_disk": "disk_io",
    "limits": "limits",
    "mail_auth": "password_guessing",
    "nginx": "dependency",
    "postgres": "database",
    "rabbitmq": "queue",
    "redis": "memory",
    "systemd": "crash",
    "time": "time",
    "tls": "tls",
}

# More systems, without a twin: `<name>.other.txt`.
OTHERS = {
    "ok_boot": "none",
    "ok_cassandra": "none",
    "ok_ci": "none",
    "ok_docker": "none",
    "ok_etcd": "none",
    "ok_java": "none",
    "ok_postfix": "none",
    "ok_sshd": "none",
    "sick_cassandra": "network",
    "sick_celery": "queue",
    "sick_ceph": "cluster",
    "sick_iis": "http_errors",
    "sick_node_app": "network",
    "sick_pg_disk": "disk_full",
    "sick_rdp": "password_guessing",
    "sick_s3_perm": "permission",
    "sick_slurm": "cluster",
    "sick_vault": "dependency",
    "sick_windows_event": "disk_io",
}


def other(name: str) -> str:
    """The log of one of the systems without a twin."""
    return (LOGS / f"{name}.other.txt").read_text("utf-8")


def sick(name: str) -> str:
    """The log of a system in trouble."""
    return (LOGS / f"{name}.sick.txt").read_text("utf-8")


def well(name: str) -> str:
    """The log of the same system in good order."""
    return (LOGS / f"{name}.well.txt").read_text("utf-8")


@pytest.fixture(params=sorted(CAUSES))
def system(request: pytest.FixtureRequest) -> str:
    """Each of the systems in turn."""
    name: str = request.param
    return name
