# The CPU alone, without PyTorch: the built-in networks run on ONNX Runtime (see docs/install.md).
#   docker build -t tracker . && docker run --rm -v "$PWD:/data" tracker video.mp4
FROM python:3.13-slim

COPY requirements/without-torch.txt /tmp/
RUN pip install --no-cache-dir -r /tmp/without-torch.txt

COPY . /tmp/tracker
RUN pip install --no-cache-dir --no-deps /tmp/tracker

WORKDIR /data
ENTRYPOINT ["track"]
