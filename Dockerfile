# One image for every role and for provisioning: `headrace run ROLE`, `headrace provision`. See docker-compose.yml.
# Behind a mirror of PyPI: --build-arg PIP_INDEX_URL=... ; a proxy goes in by Docker's own build arguments (HTTPS_PROXY).
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ARG PIP_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python3 -m venv /opt/headrace
COPY requirements.lock ./
# The lock's setuptools first: it builds our package and the one dependency that comes as source, without fetching another.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > build.lock \
 && /opt/headrace/bin/pip install --require-hashes --no-deps -r build.lock \
 && /opt/headrace/bin/pip install --require-hashes --no-deps --no-build-isolation \
      --only-binary=:all: --no-binary=localstack-client -r requirements.lock
COPY . .
RUN /opt/headrace/bin/pip install --no-deps --no-build-isolation . \
 && /opt/headrace/bin/pip check \
 && /opt/headrace/bin/pip uninstall --yes setuptools pip

FROM ${PYTHON}
RUN useradd --no-log-init --uid 10001 --user-group --create-home --shell /usr/sbin/nologin headrace
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /home/headrace
EXPOSE 8080
ENTRYPOINT ["headrace"]
CMD ["--help"]
