# make setup   .venv with everything, the package and its messages; does again only what changed
# make demo    a simulated camera, the node and three commands over DDS, judged by the truth -> demo_out/
# make test    the whole test suite
# make lint    ruff and mypy
# make gpu-check   is the model right on this GPU, and how quick is it -> gpu_check/, docs/performance.md
# make nano    nano's data and training from nothing, hours on two cores -> runs/nano; goes on where
#              it was stopped
#
# EXTRAS=recordings,mini   less than everything: the names in setup.py
# PYTHON=python3.11        the interpreter of a new .venv
# TORCH="torch torchvision"  another build of torch, e.g. TORCH="torch==2.14.1+cpu torchvision"
# PIP_FLAGS=...            passed to every pip install
# ASSETS=folder            recordings for gpu-check
# DEMO_MODEL=path          weights for the demo instead of the shipped ones
# VIEW=1                   a page shows the demo, and stays until Ctrl-C: http://localhost:8080/
# PYTEST_ARGS=...          e.g. PYTEST_ARGS="-k ros"

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
TORCH ?= torch torchvision
PIP_FLAGS ?=
PYTEST_ARGS ?=
DEMO_MODEL ?=
VIEW ?=
VENV := .venv
STAMPS := $(VENV)/.samwise_ros
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -q $(PIP_FLAGS)

# With ROS from apt sourced, its packages are used and colcon builds the messages.
ifdef ROS_DISTRO
VENV_FLAGS := --system-site-packages
EXTRAS := mini,live,onnx,openvino,sim,recordings,rerun,compose,train,dev
MESSAGES := off
else
VENV_FLAGS :=
EXTRAS := ros,msgs,mini,live,onnx,openvino,sim,recordings,rerun,compose,train,dev
MESSAGES := $(if $(findstring msgs,$(EXTRAS)),on,off)
endif

.PHONY: setup demo test lint gpu-check clean nano
setup: $(STAMPS)/package

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "$(PYTHON) is older than Python 3.10; say which one to use: make PYTHON=python3.11"; exit 1; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV_FLAGS) $(VENV)
	mkdir -p $(STAMPS)
	$(PIP) 'setuptools>=68' wheel
	touch $@

# torch comes first: sam2 imports it while it is built. Without the flags below, pip would build sam2
# beside a second copy of torch, and with CUDA code that nothing here uses.
$(STAMPS)/torch: $(STAMPS)/venv
	$(PIP) numpy $(TORCH)
	SAM2_BUILD_CUDA=0 $(PIP) --no-build-isolation 'sam2>=1.1.0,<1.2'
	touch $@

# Other extras than last time are a change, too.
$(STAMPS)/extras: FORCE | $(STAMPS)/venv
	@echo '$(EXTRAS)' | cmp -s - $@ || echo '$(EXTRAS)' > $@
FORCE:

$(STAMPS)/requirements: setup.py $(STAMPS)/extras $(STAMPS)/torch
	SAMWISE_ROS_MSGS=off $(PIP) --no-build-isolation --use-pep517 -e '.[$(EXTRAS)]'
	touch $@

# A second step, because pip builds before it installs the generators that the messages need. Python
# files are not listed: .venv runs those of the checkout.
$(STAMPS)/package: $(STAMPS)/requirements setup.py package.xml CMakeLists.txt \
    $(wildcard msg/*.msg srv/*.srv action/*.action cmake/* launch/*.py config/* config/*/* config/*/*/*)
	SAMWISE_ROS_MSGS=$(MESSAGES) $(PIP) --no-build-isolation --use-pep517 --no-deps -e .
	touch $@

demo: setup
	$(VENV)/bin/samwise demo --out demo_out $(if $(VIEW),--page 8080) $(if $(DEMO_MODEL),--model '$(DEMO_MODEL)')

# What PyPI lacks of the interfaces, for tests only.
TEST_INTERFACES := $(STAMPS)/test_interfaces
$(TEST_INTERFACES): $(STAMPS)/requirements $(wildcard test/interfaces/*/*) \
    $(wildcard samwise_ros/assets/interfaces/*/*) \
    test/helpers/generated_interfaces.py
	$(VENV)/bin/python test/helpers/generated_interfaces.py > $(STAMPS)/test_interfaces.log 2>&1 || \
	  { cat $(STAMPS)/test_interfaces.log; exit 1; }
	touch $@

test: setup $(if $(ROS_DISTRO),,$(TEST_INTERFACES))
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

gpu-check: setup
	$(VENV)/bin/samwise bench gpu --out gpu_check --document docs/performance.md $(if $(ASSETS),--assets '$(ASSETS)')

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

# Data of each kind: clips and frames a seed; then stage after stage.
SAMWISE := $(VENV)/bin/samwise
PACK := $(SAMWISE) convert-data pack --height 128 --width 192 --out
NANO_STAGES := 0_images 1_stills 2_motion_labels 3_clips 4_memory 5_mixed 6_pairs 7_shapes 8_remind 9_long
NANO_DATA := stills_0 stills_1 clips_10 clips_11 clips_12 clips_13 probe_train stills_val clips_val clips_val24
STAGE = resume=; test ! -f runs/nano_$$stage/last.safetensors || resume=--resume; \
  $(SAMWISE) train config/train/nano/$$stage.yaml $$resume
nano: setup
	for seed in 0 1; do $(SAMWISE) simulate --split train --seed $$seed --clips 3000 --frames 1 --out data/stills_$$seed; done
	$(SAMWISE) simulate --split train --seed 10 --clips 2000 --frames 12 --out data/clips_10
	$(SAMWISE) simulate --split train --seed 11 --clips 800 --frames 16 --fps 14 --out data/clips_11
	$(SAMWISE) simulate --split train --seed 12 --clips 310 --frames 24 --out data/clips_12
	$(SAMWISE) simulate --split train --seed 13 --clips 700 --frames 24 --out data/clips_13
	$(SAMWISE) simulate --split train --seed 20 --clips 250 --frames 16 --probe late_target --out data/probe_train
	$(SAMWISE) simulate --split val --seed 100 --clips 100 --frames 1 --out data/stills_val
	$(SAMWISE) simulate --split val --seed 110 --clips 60 --frames 12 --out data/clips_val
	$(SAMWISE) simulate --split val --seed 111 --clips 40 --frames 24 --out data/clips_val24
	for data in $(NANO_DATA); do test -f data/packed/$$data/index.json || $(PACK) data/packed/$$data data/$$data; done
	for stage in $(NANO_STAGES); do $(STAGE); done
	test -f runs/nano_9_long/blend.safetensors || \
	  $(VENV)/bin/python -m samwise_ros.training.blend runs/nano_8_remind/last.safetensors runs/nano_9_long/last.safetensors \
	  --share 0.75 --out runs/nano_9_long/blend.safetensors
	stage=10_cme; $(STAGE)
	# shipped with the CME switched off: docs/nano.md, The CME probe
	$(VENV)/bin/python -c "from samwise_ros.training.export import export_checkpoint as export; \
	  export('runs/nano_10_cme/last.safetensors', 'runs/nano', cme={'enabled': False})"

clean:
	rm -rf demo_out follow_out grasp_out endurance_out gpu_check build install log .pytest_cache \
	  .ruff_cache .mypy_cache
