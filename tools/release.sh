#!/bin/sh
# Checks, builds and tries the release of a version; uploads nothing and tags nothing unless TAG=1.
# Called by `make release VERSION=1.2.3` from the root, with PYTHON (what installs) and BIN (the tools) set.
set -eu

say() { echo "release: $*"; }
refuse() { say "$*" >&2; exit 1; }

[ -n "${VERSION:-}" ] || refuse "which version? make release VERSION=1.2.3"
[ -z "$(git status --porcelain)" ] || refuse "the working tree has changes; commit or stash them first"
own=$("$BIN/python" -c 'import datamap_cli; print(datamap_cli.__version__)')
[ "$own" = "$VERSION" ] || refuse "datamap_cli/__init__.py has version $own, not $VERSION"
grep -Eq "^## $(echo "$VERSION" | sed 's/[.]/[.]/g') - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
	refuse "CHANGELOG.md has no line '## $VERSION - YYYY-MM-DD'; name Unreleased so"
# else what is not released yet would be built as the version before it
unreleased=$(sed -n '/^## Unreleased/,/^## [0-9]/p' CHANGELOG.md | grep -v '^#' | grep '[^[:space:]]' || true)
[ -z "$unreleased" ] || refuse "CHANGELOG.md has lines under Unreleased, which are not $VERSION; name them a new version, and set __version__ to it"
! git rev-parse -q --verify "refs/tags/v$VERSION" >/dev/null || refuse "the tag v$VERSION is there already"

if [ -z "${SKIP_TESTS:-}" ]; then
	make lint test
fi

rm -rf dist
"$BIN/uv" build --quiet --out-dir dist
ls dist/datamap_cli-"$VERSION".tar.gz dist/datamap_cli-"$VERSION"-py3-none-any.whl >/dev/null
say "built $(cd dist && ls datamap_cli-*)"

# the wheel alone, with what it asks for, outside the working tree
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
wheel=$PWD/dist/datamap_cli-$VERSION-py3-none-any.whl
uv=$PWD/$BIN/uv
constraints=$PWD/constraints/$("$BIN/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt
"$uv" venv --quiet --python "$BIN/python" "$scratch/env"
"$uv" pip install --quiet --python "$scratch/env/bin/python" --constraints "$constraints" "$wheel"
cd "$scratch"
[ "$(env/bin/datamap --version)" = "datamap $VERSION" ] || refuse "the wheel's datamap --version is another"
[ -f env/lib/python*/site-packages/datamap_cli/py.typed ] || refuse "the wheel has no py.typed"
env/bin/python - <<'PY'
import random

from datamap_cli import SignalRecorder

draw = random.Random(0)
examples = {"id": range(40), "text_a": [f"text {i}" for i in range(40)], "label": [i % 2 for i in range(40)]}
with SignalRecorder("run", examples=examples, classes=["no", "yes"]) as recorder:
    for step in range(3):
        recorder.record(step=step, ids=range(40), logits=[[draw.gauss(0, 1), draw.gauss(0, 1)] for _ in range(40)])
        recorder.finish_evaluation()
PY
env/bin/datamap summarize --run-dir run >summary.out 2>talk.err || { cat talk.err; refuse "datamap summarize fails"; }
env/bin/datamap plot --run-dir run --no-png >plot.out 2>talk.err || { cat talk.err; refuse "datamap plot fails"; }
[ -s run/summary.tsv ] && [ -s run/maps/avg_probs-label_var.html ] || refuse "no summary, or no map"
cd "$OLDPWD"
say "the wheel, installed alone, summarizes and plots"
if [ -n "${TAG:-}" ]; then
	git tag -a "v$VERSION" -m "datamap $VERSION"
	say "tagged v$VERSION; nothing was pushed"
else
	say "ready, in dist/; nothing was tagged or uploaded (TAG=1 tags)"
fi
