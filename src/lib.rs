//! Two people, two terminals, nothing in between: the parts of `p2pchat`, and this page as the map of them.
//!
//! The program itself is told in `README.md`, the wire in [`protocol`]. Read the code in this order: [`protocol`], [`frame`],
//! [`session`], then [`run`], which puts everything together.
//!
//! ```text
//!  person                                one process                                  network and disk
//!
//!  keys, stdin ──► input ──┐                        ┌──► notices ──► face ──► stdout, screen
//!                          │    ┌────────────────┐  │
//!  signals ────────────────┼──► │ owner:         │──┤
//!                          │    │ event ► session│  │                ┌ control ┐
//!              door, dial ─┤    │      ► actions │──┼──► outbox ──►  │  lanes  │ ──► writer ──► Sealer ──► socket
//!                          │    └────────────────┘  │                └  bulk   ┘       ▲
//!              ┌─ control ─┘                        │                                  │
//!  socket ──► reader (Opener, frame)                ├──► upload worker   ◄── file ─────┘ chunks, as far as credit goes
//!              └─ chunks ──► window ──► download worker ──► file
//! ```
//!
//! - The **owner** is one thread that holds the [`session`] and waits for nobody: not the peer, a disk or a screen. All else tells
//!   it what happened, and it carries out what the session wants done.
//! - The **reader** never waits for the **writer**, so two peers that send at once cannot block each other. What the reader
//!   causes to be sent (acknowledgements, pongs, credit) is a slot with the latest value, never a queue.
//! - A line of chat overtakes file data: control frames have a lane of their own in the [`outbox`].
//! - File data never passes the owner. It is read, sealed, received and opened in place, in the aligned pieces of [`buffer`].
//! - The session outlives its connections: [`link`] is one connection, [`session`] all of them together.
//!
//! # Modules
//!
//! | module | what it is |
//! |---|---|
//! | [`protocol`] | the wire, complete enough to write another peer from it |
//! | [`cli`] | the command line: arguments become valid values here, or never |
//! | [`run`] | a conversation from start to exit code: the owner thread, its threads, its actions |
//! | [`exit`] | exit codes: one table from what happened to what a script sees |
//! | [`connect`] | from a socket to the first frame: addresses, dialling, listening, deadlines, the opening |
//! | [`channel`] | hellos, handshake and code; then records, one half for the reader and one for the writer |
//! | [`frame`] | every kind of frame, its bytes, its limits |
//! | [`buffer`] | aligned pieces in which file data is read, sealed, received and opened |
//! | [`link`] | one connection: the reader and the writer |
//! | [`outbox`] | the lanes to the writer: control first, bulk in turn |
//! | [`session`] | what was said, acknowledged, offered and ended; no socket, disk, clock or screen |
//! | [`command`] | what a typed line means: text, a command, or an error that never goes out |
//! | [`notice`] | what passes between a person and the session |
//! | [`safe`] | the one boundary between the peer's text and a terminal |
//! | [`transfer`] | files on their way: lists, positions, credit, the workers that read and write |
//! | [`identity`] | the own key, in one private file |
//! | [`peers`] | who was met, in a text file that people may edit |
//! | `fuzz` | what takes input from outside, each driven by bytes alone; for tests |
//! | [`ui`] | the three faces: terminal, plain lines, JSON |

#![allow(rustdoc::private_intra_doc_links, reason = "modules tell their flow, private parts by name")]

pub mod buffer;
pub mod channel;
pub mod cli;
pub mod command;
pub mod connect;
pub mod exit;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod identity;
pub mod link;
pub mod notice;
pub mod outbox;
pub mod peers;
#[doc = include_str!("PROTOCOL.md")]
pub mod protocol {}
pub mod run;
pub mod safe;
pub mod session;
pub mod transfer;
pub mod ui;
mod why;
