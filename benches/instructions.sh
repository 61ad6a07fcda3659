#!/usr/bin/env bash
# Counts the instructions a line costs in each step of the parser, with callgrind, and fails when one has grown by more
# than 3 % over benches/instructions.txt. Counts are the same from run to run; what changes them is the code or the
# compiler, so that they are held only under the compiler they were taken with.
#
#   benches/instructions.sh            compare
#   benches/instructions.sh --write    take the counts of today as the new measure
set -euo pipefail
cd "$(dirname "$0")/.."
counts=benches/instructions.txt
steps=(tokenise write id redact classic ecs line)
few=2000
many=12000

command -v valgrind >/dev/null || { echo "valgrind is missing: install the package valgrind" >&2; exit 2; }
build=$(cargo bench --bench parse --no-run 2>&1) || { echo "$build" >&2; exit 2; }
bench=$(sed -n 's/.*(\(.*\/parse-[0-9a-f]*\)).*/\1/p; s/^ *Executable .*(\(.*\))$/\1/p' <<<"$build" | head -n 1)
[ -x "$bench" ] || { echo "the bench's program was not found in: $build" >&2; exit 2; }

# Instructions of a whole run over that many lines.
whole() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$bench" "$1" "$2" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

# Instructions of one line: the difference of two runs, so that starting up does not count.
of_a_line() {
  echo $((($(whole "$1" "$many") - $(whole "$1" "$few")) / (many - few)))
}

made=$(of_a_line none)
declare -A found
for step in tokenise content-id aws aws+id aws+redact classic ecs; do
  found[$step]=$(($(of_a_line "$step") - made))
done
found[write]=$((found[aws] - found[tokenise]))
found[id]=${found[content-id]}
found[redact]=$((found[aws+redact] - found[aws]))
found[line]=${found[aws+id]}
compiler=$(rustc --version)

if [ "${1:-}" = --write ]; then
  {
    echo "# Instructions a line, by benches/instructions.sh --write"
    echo "compiler $compiler"
    for step in "${steps[@]}"; do echo "$step ${found[$step]}"; done
  } >"$counts"
fi

held=$(sed -n 's/^compiler //p' "$counts")
status=0
for step in "${steps[@]}"; do
  before=$(sed -n "s/^$step //p" "$counts")
  printf '%-10s %6d instructions a line, %6d before\n' "$step" "${found[$step]}" "$before"
  if [ $((found[$step] * 100)) -gt $((before * 103)) ]; then
    echo "$step has grown by more than 3 %" >&2
    status=1
  fi
done
if [ "$held" != "$compiler" ]; then
  echo "not held: the counts were taken with $held, this is $compiler"
  exit 0
fi
exit "$status"
