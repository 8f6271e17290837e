# The tracking server: accounts, PostgreSQL, S3. Build from the repository's root:
#   docker build -f project/container/tracking.Dockerfile -t handwriting-tracking .
FROM python:3.11-slim
COPY project/container/tracking-requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir -r /tmp/requirements.txt
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
WORKDIR /tmp
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --start-period=120s CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=5)"
ENTRYPOINT ["mlflow", "server", "--host=0.0.0.0", "--port=8080", "--app-name=basic-auth"]
