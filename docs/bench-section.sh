# For the scripts that measure and write a section of docs/benchmarks.md; they source it in the project's root.

page=docs/benchmarks.md

# The machine that measured, in one sentence; the arguments name more of its software.
machine() {
    local software
    software=$(printf ', %s' "$@")
    echo "Machine: $(nproc) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)), Linux $(uname -r)$software."
}

# Puts the file $2 in the place of the page's section $1, or at the page's end; its first and last line are the section's marks.
write_section() {
    local begin="<!-- $1: begin -->" end="<!-- $1: end -->"
    if grep -qF "$begin" "$page"; then
        awk -v begin="$begin" -v end="$end" -v section="$2" '
            $0 == begin { while ((getline line < section) > 0) print line; skip = 1 }
            !skip { print }
            $0 == end { skip = 0 }
        ' "$page" > "$page.new"
        mv "$page.new" "$page"
    else
        { echo; cat "$2"; } >> "$page"
    fi
    echo "written: the section '$1' of $page"
}
