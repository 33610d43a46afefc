# syntax=docker/dockerfile:1
# The service with ONNX Runtime and the bundles of models_store/, without torch or a compiler.
#   docker build -t latentd .
#   docker build -t latentd:torchscript --build-arg EXTRA=torchscript .
# The base by digest, which `docker buildx imagetools inspect python:3.11-slim-bookworm` prints:
#   docker build -t latentd --build-arg PYTHON=python:3.11-slim-bookworm@sha256:... .
ARG PYTHON=python:3.11-slim-bookworm

FROM ${PYTHON} AS build
ARG EXTRA=""
ARG PIP_EXTRA_INDEX_URL=""
WORKDIR /src
COPY pyproject.toml constraints.txt README.md ./
COPY deploy/install.sh deploy/requirements.lock deploy/
RUN sh deploy/install.sh /opt/latentd "${EXTRA}"
COPY service service
RUN sh deploy/install.sh /opt/latentd "${EXTRA}"

FROM ${PYTHON}
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="latentd" \
      org.opencontainers.image.description="REST inference and generation for image autoencoders" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}"
COPY --from=build /opt/latentd /opt/latentd
COPY deploy/health.py /opt/latentd/health.py
COPY models_store /models_store
ENV PATH=/opt/latentd/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LATENTD_HOST=0.0.0.0 \
    LATENTD_MODELS_STORE=/models_store
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["python", "/opt/latentd/health.py"]
# The service writes no files: docker run --read-only --cap-drop ALL latentd
ENTRYPOINT ["latentd"]
CMD ["serve"]
