//! The completion scripts: clap's, and the names of known peers where one is to be named.

use clap::CommandFactory;
use clap_complete::Shell;
use p2pchat::cli::Cli;

/// The script for a shell.
///
/// Arguments that name a peer have the value hint of a user name: scripts complete these, and here that becomes known peers.
pub(crate) fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "p2pchat", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    match shell {
        // `compgen -f` here splits names at blanks; without words of the function, bash completes whole names itself.
        Shell::Bash => {
            script.replace(r#"COMPREPLY=($(compgen -f "${cur}"))"#, "COMPREPLY=()")
                + include_str!("completions/known_peers.bash")
        }
        Shell::Zsh => {
            // Behind `*::` zsh completes no options. The last lines call the function when the script is its file, so ours stands before.
            let script = script.replace("'*::paths ", "'*:paths ").replace(":_users'", ":_p2pchat_known_peers'");
            let names = concat!(include_str!("completions/known_peers.zsh"), "\n_p2pchat() {");
            script.replacen("\n_p2pchat() {", names, 1)
        }
        Shell::Fish => {
            script.replace("(__fish_complete_users)", "(__p2pchat_known_peers)")
                + include_str!("completions/known_peers.fish")
        }
        _ => script,
    }
}
