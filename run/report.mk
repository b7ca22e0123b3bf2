# The targets of a report's folder, for its Makefile to include:
#
#   make train   realizes everything that the report shows
#   make md      renders out/Report.md, pictures beside it
#   make html    renders out_html/Report.html, one file with everything in it
#   make report  renders both in one go
#
#   SCALE=toy    the same stages in minutes, on the project's own small data; SCALE=full is the real thing,
#                SCALE=smoke a few steps of everything
#   DATA=folder  real data from a folder in place of downloads (README.md says how it is laid out)
#   LIVE=1       shows what the cells print while a report is rendered
#
# Nothing here is identity: the scale and the data become part of configs only through what experiment.py
# asks for. All paths are relative, so that the checkout may lie anywhere, blanks in its name included.

SCALE ?= full
DATA ?=
LIVE ?=
SOURCE ?= Report.md.in
EXPERIMENT ?= experiment.py
TOP ?= ../..
PYTHON ?= $(firstword $(wildcard $(TOP)/.venv/bin/python) python3)

ifeq ($(filter $(SCALE),full toy smoke),)
$(error SCALE is full, toy or smoke, not "$(SCALE)")
endif
export STAGEDML_SCALE := $(SCALE)
# set even when empty: a data folder that the environment names for the tests is not meant for this
# (a relative folder is meant from where make was called, which under make -C is $PWD)
export STAGEDML_DATA := $(if $(DATA),$(shell \
  { cd "$(PWD)" && cd "$(DATA)" && pwd; } 2> /dev/null || { cd "$(CURDIR)" && cd "$(DATA)" && pwd; } 2> /dev/null))
ifeq ($(if $(DATA),$(STAGEDML_DATA),.),)
$(error DATA="$(DATA)" is no folder)
endif

RENDER = "$(PYTHON)" -m stagedml.report.render $(if $(LIVE),--live) $(SOURCE)

.PHONY: train md html report clean ready

train: ready
	"$(PYTHON)" $(EXPERIMENT)

md: ready
	$(RENDER) --md out/Report.md

html: ready
	$(RENDER) --html out_html/Report.html

report: ready
	$(RENDER) --md out/Report.md --html out_html/Report.html

clean:
	rm -rf out out_html

ready:
	@"$(PYTHON)" -c "import stagedml" 2> /dev/null || { \
	  echo 'error: $(PYTHON) has no stagedml; "make demo" at the top of the tree installs it'; exit 2; }
