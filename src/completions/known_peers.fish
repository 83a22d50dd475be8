
# Names of known peers stand first in the lines below the heading, before two blanks. They are text of others: fish quotes them.
function __p2pchat_known_peers
    set -l program (commandline -opc)[1]
    $program peers 2>/dev/null | tail -n +2 | string match -r '^.*?(?=  )'
end
complete -c p2pchat -n "__fish_p2pchat_using_subcommand connect receive" -f -a "(__p2pchat_known_peers)"
complete -c p2pchat -n "__fish_p2pchat_using_subcommand peers; and __fish_seen_subcommand_from forget rename" -f -a "(__p2pchat_known_peers)"
