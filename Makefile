# make deps | make | make demo | make results | make bench-peers | make check | make check-all | make install PREFIX=/usr/local
# BUILD and EXTRA give other builds their own folder: make BUILD=build/asan EXTRA="-fsanitize=address"

ifeq ($(origin CC),default)
CC = gcc
endif
BUILD ?= build
PREFIX ?= /usr/local
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla -Werror
LIBS_PC = jansson yaml-0.1 libpcre2-8 libutf8proc libxxhash zlib libzstd
# ranks as processes where there is an MPI; not under ThreadSanitizer, which takes its library's own threads for races
MPI_PC := $(if $(findstring thread,$(EXTRA)),,$(firstword $(foreach p,ompi-c mpich,$(shell pkg-config --exists $(p) && echo $(p)))))
CPPFLAGS += -D_GNU_SOURCE -Isrc -I. $(if $(MPI_PC),-DMOP_MPI $(shell pkg-config --cflags $(MPI_PC)))
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=c11 $(CFLAGS) $(WARN) $(EXTRA) $(shell pkg-config --cflags $(LIBS_PC))
ALL_LIBS = $(shell pkg-config --libs $(LIBS_PC)) $(if $(MPI_PC),$(shell pkg-config --libs $(MPI_PC))) -lpthread -lm
JOBS ?= $(shell nproc)

LIB_SRC = $(filter-out src/cli/main.c,$(wildcard src/*/*.c src/kernels/*/*.c models/*.c))
LIB_OBJ = $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TEST_SRC = $(wildcard tests/*/test_*.c tests/fuzz/fuzz_*.c)
TEST_BIN = $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)

ASAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
TSAN = -fsanitize=thread
FUZZ_RUNS ?= 20000

all: $(BUILD)/mop

$(BUILD)/mop: $(BUILD)/obj/src/cli/main.o $(BUILD)/libmop.a
	$(CC) $(ALL_CFLAGS) -o $@ $^ $(ALL_LIBS)

# the oracle: only tests link it, and a test that includes ref.c as double does not take it from here
$(BUILD)/libref.a: $(BUILD)/obj/ref/ref.o
	rm -f $@ && ar rcs $@ $^

$(BUILD)/libmop.a: $(LIB_OBJ)
	rm -f $@ && ar rcs $@ $^

$(BUILD)/obj/%_avx2.o: EXTRA_ISA = -O3 -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512.o: EXTRA_ISA = -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma -mf16c
$(BUILD)/obj/%_bf16.o: EXTRA_ISA = -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx2 -mfma
$(BUILD)/obj/%_amx.o: EXTRA_ISA = -O3 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mamx-tile -mamx-bf16 -mavx2 -mfma
$(BUILD)/obj/%_cpu.o: EXTRA_ISA = -O3

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) $(EXTRA_ISA) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(BUILD)/libmop.a $(BUILD)/libref.a
	@mkdir -p $(dir $@)
	$(CC) $(ALL_CFLAGS) $(CPPFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libmop.a $(BUILD)/libref.a $(ALL_LIBS)

tests: $(TEST_BIN)

# The build under test in one line, for the targets below: $(call tested,FOLDER,FLAGS)
tested = $(MAKE) -j$(JOBS) BUILD=$(1) EXTRA="$(2)" all tests

deps:
	tools/deps.sh build

deps-ci:
	tools/deps.sh build ci

check: deps
	+$(call tested,$(BUILD),$(EXTRA))
	tools/run_tests.sh $(BUILD)

# The sanitizers' builds run every test again; fault injection and the fuzz drivers run in full instead of a sample.
sanitized: deps
	+$(call tested,$(BUILD)/asan,$(ASAN))
	+$(call tested,$(BUILD)/tsan,$(TSAN))

check-sanitized: sanitized
	FUZZ_RUNS=$(FUZZ_RUNS) tools/run_tests.sh $(BUILD)/asan $(BUILD)/tsan

check-all: sanitized
	+$(call tested,$(BUILD),$(EXTRA))
	MOP_TORTURE=all FUZZ_RUNS=$(FUZZ_RUNS) tools/run_tests.sh $(BUILD) $(BUILD)/asan $(BUILD)/tsan

# Search for new inputs with libFuzzer: make fuzz-yaml SECONDS=60
SECONDS ?= 60
fuzz-%:
	+$(MAKE) -j$(JOBS) CC=clang BUILD=$(BUILD)/fuzz EXTRA="$(ASAN) -fsanitize=fuzzer-no-link" $(BUILD)/fuzz/libmop.a
	clang $(ALL_CFLAGS) $(CPPFLAGS) -Itests -DMOP_LIBFUZZER $(ASAN) -fsanitize=fuzzer -o $(BUILD)/fuzz/$* tests/fuzz/fuzz_$*.c $(BUILD)/fuzz/libmop.a $(ALL_LIBS)
	mkdir -p $(BUILD)/fuzz/found-$*
	$(BUILD)/fuzz/$* -max_total_time=$(SECONDS) -max_len=65536 -timeout=20 -artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/found-$* tests/fuzz/corpus/$*

install: all
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/mop $(DESTDIR)$(PREFIX)/bin/mop
	$(BUILD)/mop help man > $(BUILD)/mop.1
	$(BUILD)/mop help completion > $(BUILD)/mop.bash
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 644 $(BUILD)/mop.1 $(DESTDIR)$(PREFIX)/share/man/man1/mop.1
	install -m 644 $(BUILD)/mop.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/mop

demo:
	tools/deps.sh build demo
	+$(MAKE) -j$(JOBS) all
	tools/demo.sh $(BUILD)/mop

# the figures of README.md and docs/results, measured and drawn
results:
	tools/deps.sh build demo
	+$(MAKE) -j$(JOBS) all
	tools/results.sh $(BUILD)/mop

# mop beside PyTorch, which is installed in a folder of its own; under 25 minutes, some GB of disk
bench-peers:
	tools/deps.sh build peers
	+$(MAKE) -j$(JOBS) all
	bench/peers/run.sh $(BUILD)/mop $(BUILD)/peers

# this tree's results beside those of another commit, bit for bit: make same-bits OLD=2853ebc
same-bits: all
	tools/same_bits.sh $(OLD) $(BUILD)/mop

# and its speed: make bench-old OLD=2853ebc
bench-old: all
	tools/bench_old.sh $(OLD) $(BUILD)/mop

# every wait of one stream for another, left out in turn on the deferred device
deferred-drops: all
	tools/deferred_drops.sh $(BUILD)/mop

docs: all
	mkdir -p docs
	$(BUILD)/mop help markdown > docs/options.md

format:
	clang-format -i $$(tools/sources.sh c)

lint:
	tools/lint.sh

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all tests same-bits bench-old deferred-drops deps deps-ci check check-all check-sanitized sanitized install demo results bench-peers docs format lint clean
