//! What the event loop hears. Where a number stands, it says which conversation, connection or run of a dialling thread the event
//! belongs to, so that late events of an earlier one are known as such.

use super::incoming::ConnectionEvent;
use super::peer_policy::{PeerInfo, PeerPolicy};
use crate::known_peers::PeersError;
use crate::net::dial::{DialError, Dialler};
use crate::net::lan::AnnounceEvent;
use crate::net::listen::ListenEvent;
use crate::net::opening::Established;
use crate::net::port_map::MapReport;
use crate::notice::Input;
use crate::protocol::frame::TransferId;
use crate::text::SafeText;
use crate::transfer::download::DownloadReport;
use crate::transfer::upload::UploadReport;

pub(super) enum Event {
    Connection(u64, ConnectionEvent),
    Input(Input),
    /// The frontend has shown all up to this `display_seq`.
    Shown(u64),
    Upload(u64, TransferId, UploadReport),
    Download(u64, TransferId, DownloadReport),
    Listen(ListenEvent),
    /// What becomes of the announcement with this name on the own network.
    Lan(String, AnnounceEvent),
    /// What became of asking the router to let callers in.
    Map(MapReport),
    /// What the person who listens is to know of this machine.
    Remarks(Vec<String>),
    /// Instead of waiting, dial.
    Dial(Box<(Dialler, PeerPolicy)>),
    Dialled(u64, Result<Box<Established>, DialError>),
    /// Why dialling goes on without success, when that is news.
    Redialling(u64, String),
    /// A peer proved its key and was greeted; what is known of it is recorded.
    Recorded(u64, Box<(Established, PeerInfo, Vec<SafeText>)>),
    /// `/verify` was written to the file of known peers, or could not be.
    Verified(u64, Result<(), PeersError>),
    /// There is a pending signal ([`super::signals::PendingSignal`]), or it is time to do something.
    Tick,
    /// The frontend cannot show anything any more, and why, if that is worth a word.
    FrontendFailed(Option<String>),
}
