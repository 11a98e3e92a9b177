# The demo as a container.
#   CPU:   docker build -t dynconv-lab . && docker run --rm -p 7860:7860 dynconv-lab
#   CUDA:  docker build -t dynconv-lab --build-arg BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime . \
#          && docker run --rm --gpus all -p 7860:7860 dynconv-lab
ARG BASE=python:3.12-slim
FROM ${BASE}

# The CPU wheels spare gigabytes of CUDA libraries; a base that has torch already keeps its own.
# Newer bases mark their Python as the system's, which pip must be told to ignore.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_BREAK_SYSTEM_PACKAGES=1 \
    PYTHONUNBUFFERED=1 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_SERVER_PORT=7860

# The C compiler is for the fast form of dynamic convolution, which the app compiles when it starts to use it.
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY requirements.txt ./
RUN python3 -m pip install --extra-index-url "${TORCH_INDEX}" -r requirements.txt \
    && useradd --create-home --no-log-init --uid 10001 demo

# Weights are written readable for their owner only, so the owner is who runs the app.
COPY --chown=demo LICENSE app.py ./
COPY --chown=demo models models
COPY --chown=demo checkpoints checkpoints
COPY --chown=demo demo demo
COPY --chown=demo results/summary.json results/
COPY --chown=demo results/figures results/figures

USER demo
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python3", "-c", "import os, urllib.request as web; web.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'] + '/config', timeout=4)"]
CMD ["python3", "app.py"]
