#!/usr/bin/env bash
# release-notes.sh TAG [FILE]: prints the section of TAG in CHANGELOG.md, without its heading. It refuses a tag that is no
# version, and one without a section, with an empty one, or with one that has no date:
#
#   ## v1.2.3 - 2026-12-31
set -euo pipefail
tag=$1 file=${2:-$(dirname "$0")/../CHANGELOG.md}
refuse() { echo "$file: $*" >&2; exit 1; }
number='(0|[1-9][0-9]*)'
[[ $tag =~ ^v$number\.$number\.$number(-[0-9A-Za-z.-]+)?$ ]] || refuse "$tag is no version such as v1.2.3"
# A heading is "## NAME ...": compare the name as a string, for a dot is no pattern here.
heading=$(awk -v tag="$tag" '$1 == "##" && $2 == tag' "$file")
[ -n "$heading" ] || refuse "there is no section \"## $tag - YYYY-MM-DD\""
[ "$(wc -l <<<"$heading")" = 1 ] || refuse "there are two sections of $tag"
date=${heading#"## $tag - "}
if ! [[ $date =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]] || ! date -d "$date" >/dev/null 2>&1; then
  refuse "the heading \"$heading\" has no date: \"## $tag - YYYY-MM-DD\""
fi
notes=$(awk -v tag="$tag" '$1 == "##" { inside = $2 == tag; next } inside' "$file" | sed '/./,$!d')
grep -v '^#' <<<"$notes" | grep -q '[[:alnum:]]' || refuse "the section of $tag is empty"
printf '%s\n' "$notes"
