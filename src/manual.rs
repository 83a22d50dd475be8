//! The manual pages: of the program, and of each of its commands.

use clap::CommandFactory;
use clap_mangen::Man;
use p2pchat::cli::Cli;
use p2pchat::command::HELP;
use p2pchat::exit::UsageError;

/// What the command line's definition does not tell.
const SECTIONS: &str = include_str!("manual.roff");

/// The page of the program, or of the command at `path`, as in `peers forget`.
pub(crate) fn page(path: &[String]) -> anyhow::Result<String> {
    // `p2pchat help` is no page of its own: the pages say the same.
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut page = Vec::new();
    if !path.is_empty() {
        let mut command = &program;
        for name in path {
            let known = command.get_bin_name().unwrap_or("p2pchat");
            let unknown = || UsageError(format!("no such command: {known} {name}\nsee {known} --help"));
            command = command.find_subcommand(name).ok_or_else(unknown)?;
        }
        let source = concat!("p2pchat ", env!("CARGO_PKG_VERSION"));
        Man::new(command.clone()).source(source).render(&mut page)?;
        return Ok(String::from_utf8(page)?);
    }
    let man = Man::new(program.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    page.extend_from_slice(b".PP\n\\fBp2pchat man\\fR \\fICOMMAND\\fR prints the page of one.\n");
    for sub in program.get_subcommands().filter(|sub| sub.get_arguments().count() > 2) {
        let mut options = Vec::new();
        Man::new(sub.clone()).render_options_section(&mut options)?;
        let heading = format!(".SH \"OPTIONS OF {}\"", sub.get_name().to_uppercase());
        page.extend_from_slice(String::from_utf8_lossy(&options).replacen(".SH OPTIONS", &heading, 1).as_bytes());
    }
    let help = HELP.replace('\\', r"\e").replace('-', r"\-");
    page.extend_from_slice(format!(".SH COMMANDS\n.nf\n{help}\n.fi\n{SECTIONS}").as_bytes());
    Ok(String::from_utf8(page)?)
}
