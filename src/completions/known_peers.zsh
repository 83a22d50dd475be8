
# Names of known peers stand first in the lines below the heading, before two blanks. They are text of others: compadd quotes them.
_p2pchat_known_peers() {
    local -a rows names
    rows=("${(@f)$(_call_program peers p2pchat peers 2>/dev/null)}")
    names=("${(@)${(@M)rows[2,-1]:#*  *}%%  *}")
    compadd -a - names
}
