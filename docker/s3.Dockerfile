# A real S3 server (Ceph's radosgw, its data in memory) for development: never for data that is to be kept.
ARG BASE_IMAGE=debian:bookworm-slim
FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="cxr-s3" \
      org.opencontainers.image.description="Ceph radosgw in memory, for development" \
      org.opencontainers.image.licenses="Apache-2.0"
# No versions: Debian keeps only the newest.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
        ceph-common ceph-mon ceph-osd radosgw \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 64045 -g 64045 /srv/s3
COPY tests/ceph.sh /usr/local/bin/ceph.sh
USER 64045
EXPOSE 7480
HEALTHCHECK --interval=5s --start-period=300s CMD ["test", "-f", "/srv/s3/data/ready"]
CMD ["ceph.sh", "serve", "/srv/s3/data", "7480"]
