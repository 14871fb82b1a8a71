#!/bin/bash
# examples/titanic runs, gives the same lines twice and refuses broken tables; on the real table,
# where TERN_TEST_DATA is set, Linear and BitLinear learn. Usage: titanic_test.sh TITANIC
set -eu
titanic=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
  echo "$*"
  exit 1
}

# Women survive, two ages are missing, lines end as Windows writes them.
awk 'BEGIN {
  printf "name,survived,pclass,sex,age,sibsp,parch,fare\r\n"
  for (i = 0; i < 100; ++i) {
    printf "p%d,%d,%d,%s,%s,%d,%d,%g\r\n", i, i % 2, 1 + i % 3, i % 2 ? "female" : "male",
      i % 50 == 7 ? "" : 20 + i % 31, i % 4, i % 3, 7 + i * 1.5
  }
}' >"$work/table.csv"
"$titanic" "$work/table.csv" 2 >"$work/first"
"$titanic" "$work/table.csv" 2 >"$work/second"
cmp "$work/first" "$work/second"
grep -q '^100 passengers' "$work/first"
[ "$(grep -c '±.*±.*±' "$work/first")" -eq 8 ] || fail "not a heading and 8 rows: $(cat "$work/first")"
# Enough steps find a rule as plain as this one.
grep -q '^norm, rate.* 100.0 ± 0.0 *100.0 ± 0.0' "$work/first" || fail "not learned: $(cat "$work/first")"

refuses() {  # FILE WORDS: exit 1 and a sentence with these words.
  local status=0
  "$titanic" "$1" 1 >"$work/out" 2>"$work/error" || status=$?
  [ "$status" -eq 1 ] && grep -q "$2" "$work/error" || fail "exit $status, not '$2': $(cat "$work/error")"
}
refuses "$work/missing.csv" 'missing.csv: cannot be read'
head -5 "$work/table.csv" >"$work/short.csv"
refuses "$work/short.csv" 'short.csv has 4 passengers'
sed '1s/fare/fee/' "$work/table.csv" >"$work/column.csv"
refuses "$work/column.csv" "no column 'fare'"
sed '4s/,[^,]*$//' "$work/table.csv" >"$work/fields.csv"
refuses "$work/fields.csv" 'line 4 has 7 fields, the first line 8'
sed '6s/,[0-9]*,/,2x,/' "$work/table.csv" >"$work/survived.csv"
refuses "$work/survived.csv" "line 6: survived is '2x'"
sed '9s/[^,]*$/cheap/' "$work/table.csv" >"$work/number.csv"
refuses "$work/number.csv" "line 9: 'cheap' is not a number"
sed '3s/female\|male/other/' "$work/table.csv" >"$work/sex.csv"
refuses "$work/sex.csv" "line 3: sex is 'other'"
status=0
"$titanic" 2>/dev/null || status=$?
[ "$status" -eq 2 ] || fail "no table: exit $status"

table=${TERN_TEST_DATA:-}/text/titanic/titanic.csv
[ -n "${TERN_TEST_DATA:-}" ] && [ -f "$table" ] || exit 0
"$titanic" "$table" 3 | tee "$work/real"
# The larger class is 62 %.
awk '/^epochs x 8/ { found = 1; exit !($4 > 75 && $7 > 75) } END { if (!found) exit 1 }' "$work/real" ||
  fail "not learned on the real table"
