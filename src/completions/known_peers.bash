
# Names of known peers stand first in the lines below the heading, before two blanks. They are text of others: never expanded, always quoted.
_p2pchat_with_peers() {
    local command=${COMP_WORDS[1]} line name
    if [[ $3 == --peer || $3 == --to || $command == peers && $COMP_CWORD -eq 3 && ($3 == forget || $3 == rename) ||
        ($command == connect || $command == receive) && $COMP_CWORD -gt 1 && $2 != -* && $3 != -* ]]; then
        COMPREPLY=()
        while IFS= read -r line; do
            printf -v name %q "${line%%  *}"
            [[ $line == *"  "* && ($name == "$2"* || $line == "$2"*) ]] && COMPREPLY+=("$name")
        done < <("$1" peers 2>/dev/null | tail -n +2)
    elif [[ $command == send && $COMP_CWORD -gt 1 && $2 != -* ]]; then
        COMPREPLY=() # files
    else
        _p2pchat "$@"
    fi
}
complete -F _p2pchat_with_peers -o bashdefault -o default p2pchat
