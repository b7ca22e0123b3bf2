# stagedml with everything it runs on. docs/docker.md says how to use it.
#
#   BASE   any Debian or Ubuntu with Python 3.11 to 3.13, or a Python image made from one
#   GPU    1 adds the CUDA libraries of the `gpu` extra
#   UID, GID   who works in the container; `make image` passes yours, so that a mounted store stays yours
#
# The layers go from what changes least to what changes most: a change of code never reinstalls TensorFlow.

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS system
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates git make \
      $(command -v python3 > /dev/null || echo python3 python3-venv) \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log /var/cache/ldconfig/aux-cache
ENV LANG=C.UTF-8 PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv STAGEDML_STORE=/store
WORKDIR /stagedml
CMD ["bash"]

# The names of what to install, in a stage of its own: a change of another line of pyproject.toml gives the
# same file, and so leaves the layer of the packages alone.
FROM system AS needs
ARG GPU=
COPY pyproject.toml requirements/lock.txt requirements/lock-gpu.txt /
RUN python3 -c "import tomllib; p = tomllib.load(open('/pyproject.toml', 'rb'))['project']; \
gpu = p['optional-dependencies']['gpu'] if '${GPU}' == '1' else []; \
print(*p['dependencies'], *gpu, 'setuptools', sep='\n')" > /needs.txt \
 && grep -hv '^ *#' /lock.txt /lock-gpu.txt > /pins.txt

FROM system
COPY --from=needs /needs.txt /pins.txt /opt/requirements/
# The secret is for a package index of one's own; without one nothing is mounted. TensorFlow's C++ headers
# (430 MB) only serve to compile new operations.
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --progress-bar=off \
      --requirement=/opt/requirements/needs.txt --constraint=/opt/requirements/pins.txt \
 && /opt/venv/bin/pip check \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include

ARG UID=1000 GID=1000
COPY --chown=${UID}:${GID} . /stagedml
RUN groupadd --non-unique --gid "${GID}" stagedml \
 && useradd --non-unique --uid "${UID}" --gid "${GID}" --create-home --shell /bin/bash stagedml \
 && install --directory --owner="${UID}" --group="${GID}" /store /stagedml \
 && python3 -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation \
      --editable /stagedml \
 && ln -s /opt/venv /stagedml/.venv \
 && printf '%s\n' \
      'make demo, or make train, make md and make html in run/bert_finetune and run/bert_pretrain' \
      '(SCALE=toy first). The results stay in /store; stagedml --help lists the commands.' > /etc/motd \
 && echo '[ -t 1 ] && cat /etc/motd' >> /etc/bash.bashrc

# No VOLUME: buildah would hide the mounted store behind one of its own.
USER ${UID}:${GID}
