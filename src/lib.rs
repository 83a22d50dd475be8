//! Two people, two terminals, nothing in between: the parts of `p2pchat`, and this page as the map of them.
//!
//! The program itself is told in `README.md`, the wire in [`protocol`]. Read the code in this order: [`protocol`], [`protocol::frame`],
//! [`session`], then [`app`], which puts everything together.
//!
//! ```text
//!  person                               one process                                       network and disk
//!
//!  keys, stdin ──► input ──┐                       ┌──► notices ──► frontend ──► stdout, screen
//!                          │   ┌────────────────┐  │
//!  signals ────────────────┼─► │ event loop:    │──┤                  ┌ control ┐
//!            listen, dial ─┤   │ event ► session│  ├──► send queue ─► │  lists  │ ──► writer ──► Sealer ──► socket
//!                          │   │      ► actions │  │                  └  bulk   ┘
//!              ┌─ control ─┘   └────────────────┘  │                       ▲
//!  socket ──► reader (Opener, frame)               ├──► upload worker ─────┘ ◄── files
//!              └─ bulk ──► flow control ───────────┴──► download worker ──► staging ──► files
//! ```
//!
//! - The **event loop** is one thread that holds the [`session`] and waits for nobody: not the peer, a disk or a screen. Other
//!   threads send it events, and it carries out the session's actions.
//! - The **reader** never waits for the **writer**, so two peers that send at once cannot block each other. What the reader
//!   causes to be sent (acknowledgements, pongs, credit) is a slot with the latest value, never a queue.
//! - A line of chat overtakes file data: control frames go before bulk in the [`net::send_queue`].
//! - File data never passes the event loop. It is read, sealed, received and opened in place, in the aligned buffers of [`net::buffer`].
//! - The session outlives its connections: [`net::connection`] is one connection, [`session`] all of them together.
//!
//! # Modules
//!
//! | module | what it is |
//! |---|---|
//! | [`protocol`] | the wire: its specification, every frame, its bytes, its limits |
//! | [`cli`] | options and environment, as valid values |
//! | [`app`] | the event loop, which carries out the session's actions, accepting, redialling, peer policy |
//! | [`exit`] | exit codes: one table from what happened to what a script sees |
//! | [`net`] | addresses, dialling, listening, the opening, one connection's reader and writer, the send queue |
//! | [`channel`] | hellos, handshake and code; then records, one half for the reader and one for the writer |
//! | [`session`] | lines, acknowledgements, offers, end; no socket, disk, clock or screen |
//! | [`command`] | a typed line: text, a command, or an error that is never sent |
//! | [`notice`] | events for a person or a script, and their input |
//! | [`text`] | the one boundary between the peer's text and a terminal |
//! | [`transfer`] | manifests, flow control, the workers that read and write files |
//! | [`keys`], [`identity`] | public keys and fingerprints; our key, in one private file |
//! | `error_text` | an error of the system, in words |
//! | `private_file` | files and folders that their owner alone reads |
//! | [`known_peers`] | who was met, in a text file that people may edit |
//! | [`ui`] | the three frontends: terminal, plain lines, JSON |

#![allow(rustdoc::private_intra_doc_links, reason = "modules tell their flow, private parts by name")]

pub mod app;
pub mod channel;
pub mod cli;
pub mod command;
mod error_text;
pub mod exit;
pub mod identity;
pub mod keys;
pub mod known_peers;
pub mod net;
pub mod notice;
mod private_file;
pub mod protocol;
pub mod session;
pub mod text;
pub mod transfer;
pub mod ui;
