# One image for every process of the bus but the broker: `docker build -t accord:local .`
FROM python:3.12-slim

RUN pip install --no-cache-dir uv==0.13.9 \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin accord \
    && install -d -o accord -g accord -m 0700 /var/lib/accord /var/lib/accord/ledger /var/lib/accord/run

ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 \
    PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1

WORKDIR /app
# The dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project
COPY README.md LICENSE ./
COPY schemas schemas
COPY consent consent
COPY connectors connectors
COPY exchange exchange
COPY bench bench
COPY portal portal
RUN uv sync --frozen --no-dev --no-editable

USER accord
ENTRYPOINT ["accord"]
CMD ["--help"]
