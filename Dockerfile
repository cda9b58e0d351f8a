# recbole-sheaf on the CPU; the folder you are in is read and written, by you:
#   docker build -t sheaf .
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" sheaf run --model=MMSheaf --dataset=ml-100k
#   docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/work" -p 8000:8000 sheaf serve mmsheaf.npz --host=0.0.0.0
FROM python:3.11-slim

# DGL's library links against OpenMP's, which the slim image lacks
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

# The pinned torch in its CPU build, before anything asks for the CUDA one
COPY constraints.txt /src/
RUN pip install --no-cache-dir "$(grep -oE '^torch==[0-9.]+' /src/constraints.txt | head -n 1)" \
        --index-url https://download.pytorch.org/whl/cpu

COPY setup.cfg pyproject.toml README.md LICENSE /src/
COPY recbole_sheaf /src/recbole_sheaf
COPY properties /src/properties
RUN pip install --no-cache-dir -c /src/constraints.txt "/src[ann,parquet,serve]"

# Never root: -u says who; nobody's home, so caches go to /tmp and end with the container
RUN useradd reader && mkdir /work && chown reader /work
USER reader
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["recbole-sheaf"]
CMD ["--help"]
