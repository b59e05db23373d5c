#!/bin/sh
# Desktops on a cluster, measured and judged by any CI system that runs a shell. See docs/howto/ci.md.
#
# Ends with the worst exit code of its steps: 97 invalid, 99 an objective missed, a regression or drift, 98 no data,
# anything else a fault; 0 when all is well. What it publishes is there in every case.
#
#   CONTEXT     context of the kubeconfig; needed unless RUN names a stored run
#   RUN         judge this stored run (a path, a name in RESULTS, latest) instead of measuring
#   NOTEBOOKS   what to run                          01 02 03 04
#   PROFILE     parameters: a name or a YAML file    standard
#   OBJECTIVES  a name or a YAML file                the profile's
#   TIMEOUT     for the measuring                    90m
#   RESULTS     folder of runs                       results
#   PUBLISH     folder for report and JUnit          build/vdibench
#   BASE        run to compare with: a path, a name in RESULTS; empty: no comparison
#   LIMITS      what may be lost against BASE, one a line
#   CHART       graduated chart to hold against its evidence and the manifests; empty: none
#   PUBLIC_KEY  of the chart's signature; empty: a signature is not asked for
set -eu

RUN=${RUN:-}
NOTEBOOKS=${NOTEBOOKS:-01 02 03 04}
PROFILE=${PROFILE:-standard}
OBJECTIVES=${OBJECTIVES:-}
TIMEOUT=${TIMEOUT:-90m}
RESULTS=${RESULTS:-results}
PUBLISH=${PUBLISH:-build/vdibench}
BASE=${BASE:-}
LIMITS=${LIMITS:-glass_to_glass_seconds p95 10%
frames_per_second avg 5%}
CHART=${CHART:-}
PUBLIC_KEY=${PUBLIC_KEY:-}

worst=0

rank() {
  case $1 in
    0) echo 0 ;;
    98) echo 1 ;;
    99) echo 2 ;;
    97) echo 3 ;;
    *) echo 4 ;;
  esac
}

# step FILE COMMAND...: run it, keep what it says below PUBLISH, and remember the worst exit code.
step() {
  file=$1
  shift
  echo "+ $*"
  code=0
  "$@" > "$PUBLISH/$file" 2>&1 || code=$?
  cat "$PUBLISH/$file"
  echo "exit code $code"
  [ "$(rank "$code")" -le "$(rank "$worst")" ] || worst=$code
}

mkdir -p "$PUBLISH"

# 1. Measure. The notebooks run by papermill; executed copies lie in the run's folder.
if [ -z "$RUN" ]; then
  : "${CONTEXT:?name the context of your kubeconfig, or a stored RUN}"
  # NOTEBOOKS are several words.
  # shellcheck disable=SC2086
  set -- $NOTEBOOKS --target manifests --context "$CONTEXT" --profile "$PROFILE" --results "$RESULTS" --timeout "$TIMEOUT"
  [ -z "$OBJECTIVES" ] || set -- "$@" --objectives "$OBJECTIVES"
  step run.txt vdibench run "$@"
  # Called wrongly, or broken: there may be no run of this job to judge.
  [ "$(rank "$worst")" -lt 4 ] || exit "$worst"
  RUN=latest
fi

# 2. Publish, before anything can fail: report and JUnit of the run.
report=$(vdibench report "$RUN" --results "$RESULTS")
cp "$report" "$PUBLISH/report.html"
cp "$(dirname "$report")/junit.xml" "$PUBLISH/junit.xml"

# 3. A regression against the base.
if [ -n "$BASE" ]; then
  set -- "$BASE" "$RUN" --results "$RESULTS" --html "$PUBLISH/comparison.html"
  while IFS= read -r limit; do
    [ -z "$limit" ] || set -- "$@" --fail "$limit"
  done <<END
$LIMITS
END
  step comparison.txt vdibench compare "$@"
fi

# 4. Drift between the chart, its evidence and the manifests.
if [ -n "$CHART" ]; then
  set -- --verify "$CHART"
  [ -z "$PUBLIC_KEY" ] || set -- "$@" --public-key "$PUBLIC_KEY"
  step evidence.txt vdibench graduate "$@"
fi

# 5. The verdict, last, so that it is what a log ends with.
step verdict.txt vdibench verdict "$RUN" --results "$RESULTS"
exit "$worst"
