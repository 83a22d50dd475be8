
# Known peers, one name in the first column of each line. Their names are text of others: never expanded, always quoted.
_p2pchat_or_peer() {
    local line
    if [[ $3 == --peer || ${COMP_WORDS[1]} == peers && ${COMP_CWORD} -eq 3 && $3 == @(forget|rename) ]]; then
        COMPREPLY=()
        while IFS= read -r line; do
            [[ $line == "$2"*"  "* ]] && COMPREPLY+=("$(printf %q "${line%%  *}")")
        done < <("${COMP_WORDS[0]}" peers 2>/dev/null)
        return 0
    fi
    _p2pchat "$@"
}
complete -F _p2pchat_or_peer -o bashdefault -o default p2pchat
