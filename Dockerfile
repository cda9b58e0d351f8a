# recbole-sheaf on the CPU; the folder you are in is read and written, by you:
#   docker build -t sheaf .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" sheaf run --model=MMSheaf --dataset=ml-100k
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" -p 8000:8000 sheaf serve mmsheaf.npz --host=0.0.0.0
# From the lock, by hash. The base by its digest: docker build --build-arg BASE=python:3.13-slim@sha256:...
ARG BASE=python:3.13-slim
FROM ${BASE}

COPY requirements /src/requirements
RUN cd /src/requirements && \
    pip install --no-cache-dir --no-deps --require-hashes \
        -r run.txt -r ann.txt -r parquet.txt -r postgres.txt -r serve.txt

# The locked release of PyTorch in its CPU build
COPY constraints.txt /src/
RUN pip install --no-cache-dir "$(grep -oE '^torch==[0-9.]+' /src/constraints.txt)" \
        --index-url https://download.pytorch.org/whl/cpu

COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY recbole_sheaf /src/recbole_sheaf
COPY properties /src/properties
RUN pip install --no-cache-dir --no-deps /src

# Never root: -u says who; nobody's home, so caches go to /tmp and end with the container
RUN useradd reader && mkdir /work && chown reader /work
USER reader
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["recbole-sheaf"]
CMD ["--help"]
