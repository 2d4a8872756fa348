# syntax=docker/dockerfile:1
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements-uv.txt requirements.txt ./
RUN pip install --require-hashes -r requirements-uv.txt \
    && uv pip install --python /opt/venv/bin/python --no-cache --compile-bytecode \
       --require-hashes -r requirements.txt
COPY babel.cfg ./
COPY app app
COPY dev dev
COPY translations translations
RUN /opt/venv/bin/python -m dev.messages compile \
    && /opt/venv/bin/python -m compileall -q app

FROM python:3.12-slim
LABEL org.opencontainers.image.title="Botyard" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin botyard \
    && install -d -o 10001 -g 10001 -m 700 /srv/exports
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    FLASK_APP=wsgi.py \
    BOTYARD_ENV=production \
    BIND=0.0.0.0:8000
WORKDIR /srv/botyard
COPY --from=build /opt/venv /opt/venv
COPY --from=build /build/app app
COPY --from=build /build/translations translations
COPY migrations migrations
COPY deploy/healthcheck.py deploy/healthcheck.py
COPY gunicorn.conf.py worker.py wsgi.py LICENSE THIRD_PARTY.md ./
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "deploy/healthcheck.py", "web"]
CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
