FROM python:3.11.11-slim-bookworm

WORKDIR /app
COPY requirements/ requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && pip install --no-cache-dir --require-hashes --no-build-isolation -r requirements/server.txt
COPY pyproject.toml README.md ./
COPY pipeline/ pipeline/
COPY handlers/ handlers/
COPY workers/ workers/
COPY dashboards/ dashboards/
COPY benchmarks/ benchmarks/
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && useradd --uid 10001 --no-create-home pipeline

# Last, so that another revision builds nothing else anew:
# docker build --build-arg REVISION=$(git rev-parse HEAD) .
ARG REVISION=""
ENV PIPELINE_REVISION=$REVISION
LABEL org.opencontainers.image.revision=$REVISION
USER 10001:10001
ENTRYPOINT ["pipeline"]
CMD ["--help"]
