# Container targets, included by the Makefile. docs/docker.md explains them.
#
#   DOCKER   docker, podman, or "sudo docker"
#   IMAGE    the name of the image
#   STORE    the folder of this machine that the container sees as /store

DOCKER ?= docker
IMAGE ?= stagedml
STORE ?= $(or $(STAGEDML_STORE),$(HOME)/.local/share/stagedml)
# root builds an image for user 1000: in the container nobody is root
IMAGE_UID := $(shell id -u | sed 's/^0$$/1000/')
IMAGE_GID := $(shell id -g | sed 's/^0$$/1000/')
IMAGE_BUILD = $(DOCKER) build --build-arg UID=$(IMAGE_UID) --build-arg GID=$(IMAGE_GID)
# podman maps users; this keeps yours, as docker does by itself
IMAGE_RUN = $(DOCKER) run --rm --interactive --tty --volume "$(STORE)":/store $(if $(findstring podman,$(DOCKER)),--userns=keep-id)

.PHONY: image image-gpu shell shell-gpu

image:
	$(IMAGE_BUILD) --tag "$(IMAGE)" .

image-gpu:
	$(IMAGE_BUILD) --build-arg GPU=1 --tag "$(IMAGE):gpu" .

shell: image
	mkdir -p "$(STORE)"
	$(IMAGE_RUN) "$(IMAGE)"

shell-gpu: image-gpu
	mkdir -p "$(STORE)"
	$(IMAGE_RUN) --gpus all "$(IMAGE):gpu"
