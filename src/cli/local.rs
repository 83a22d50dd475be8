//! The commands about this machine and what the program keeps on it.

use super::port;
use crate::net::address::DEFAULT_PORT;
use clap::{Args, Subcommand, ValueHint};
use std::num::NonZeroU16;

#[derive(Debug, Args)]
pub struct Doctor {
    /// The TCP port to be called at
    #[arg(value_name = "PORT", default_value_t = DEFAULT_PORT, value_parser = |text: &str| port(text).map(NonZeroU16::get), allow_negative_numbers = true)]
    pub port: u16,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// What to do with known peers.
#[derive(Debug, Clone, Subcommand)]
pub enum PeersCommand {
    /// List them (the default)
    List,
    /// Forget one: the next meeting is a first one
    Forget {
        /// Its name in the list
        #[arg(value_hint = ValueHint::Username)]
        name: String,
    },
    /// Call one something else
    Rename {
        /// Its name in the list
        #[arg(value_hint = ValueHint::Username)]
        old: String,
        /// Its new name
        new: String,
    },
}

/// What to do with unfinished downloads.
#[derive(Debug, Clone, Subcommand)]
pub enum PartialsCommand {
    /// List them (the default): they go on when the same peer sends the same again
    List,
    /// Move what arrived whole, or what came of a stream, to its folder, and remove the rest
    Keep {
        /// Their ids in the list, or the first letters of them
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Remove what is there of them
    Remove {
        /// Their ids in the list, or the first letters of them
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// Remove all
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
}
