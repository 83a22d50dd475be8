//! The connection under a conversation: begun, lost, closed, and what it reported before its end.

use super::{EventLoop, Role};
use crate::app::EVENTS;
use crate::app::event::Event;
use crate::app::incoming::{ConnectionEvent, receive};
use crate::net::connection::{Connection, DisconnectReason};
use crate::net::opening::Established;
use crate::net::reach::OwnEnd;
use crate::protocol::frame::{Intent, Refusal};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

impl EventLoop {
    pub(super) fn connection_event(&mut self, event: ConnectionEvent) {
        match event {
            ConnectionEvent::Ended(reason) => self.lose(reason),
            ConnectionEvent::Alive => {
                if let Some((newcomer, _)) = self.newcomer.take() {
                    self.refuse(newcomer, Refusal::Busy);
                }
            }
            event => {
                if let Err(fault) = self.conversation.connection_event(event) {
                    self.lose(DisconnectReason::ProtocolError(fault));
                }
            }
        }
    }

    /// The connection is over; the session may go on.
    pub(super) fn lose(&mut self, reason: DisconnectReason) {
        let fixed_port = match &self.role {
            Role::Dial(dialling) => dialling.dialler.from.is_some(),
            Role::Listen { listening, .. } => listening.listener.is_toward(),
        };
        if let Some(connection) = self.conversation.connection.as_ref().filter(|_| fixed_port) {
            connection.free_ports();
        }
        self.close_connection();
        if !matches!(reason, DisconnectReason::ProtocolError(_)) {
            self.drain_connection_events();
        }
        self.conversation.session.lost(reason);
        self.carry_out_actions();
        if self.exit.is_some() {
            return;
        }
        if let Some((newcomer, _)) = self.newcomer.take() {
            // Its place is free now.
            return self.greeted(newcomer);
        }
        if self.conversation.session.is_lost() {
            self.announce_on_lan();
            self.dial(Intent::Resume);
        }
    }

    /// Ends the connection and waits for its threads, taking what they still have to report.
    pub(super) fn close_connection(&mut self) {
        self.own_end = None;
        let Some(connection) = self.conversation.connection.take() else { return };
        connection.close();
        // What comes meanwhile is kept, so input waits: it could come faster than the threads end.
        let paused = self.setup.backpressure.is_paused();
        self.setup.backpressure.set_paused(true);
        while !connection.is_finished() {
            match self.events.recv_timeout(Duration::from_millis(1)) {
                Ok(event) => self.backlog.push_back(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.setup.backpressure.set_paused(paused);
        self.conversation.disconnected();
    }

    /// What the ended connection reported before its end still counts: flow control has taken note of it already, and the peer will
    /// not send again what it is told to be received.
    fn drain_connection_events(&mut self) {
        // No more than its threads can have left there.
        self.backlog.extend(self.events.try_iter().take(EVENTS));
        let epoch = self.epoch;
        let late = |event: &Event| matches!(event, Event::Connection(of, _) if *of == epoch);
        let (late, others): (VecDeque<_>, _) = std::mem::take(&mut self.backlog).into_iter().partition(late);
        self.backlog = others;
        for event in late {
            if let Event::Connection(_, event) = event
                && let Err(fault) = self.conversation.connection_event(event)
            {
                return self.conversation.session.lost(DisconnectReason::ProtocolError(fault));
            }
        }
    }

    pub(super) fn start_connection(&mut self, established: Established) -> io::Result<()> {
        self.close_connection();
        self.epoch += 1;
        let (epoch, events) = (self.epoch, self.setup.events.clone());
        let Established { stream, channel, .. } = established;
        let own_end = OwnEnd::of(&stream);
        if let Role::Dial(dialling) = &mut self.role {
            dialling.connected(&stream);
        }
        let flow = Arc::clone(&self.conversation.flow);
        let records = Arc::clone(flow.records());
        let tell = move |event| drop(events.send(Event::Connection(epoch, event)));
        let ended = {
            let tell = tell.clone();
            move |reason| tell(ConnectionEvent::Ended(reason))
        };
        let receive = move |record, queue: &_| receive(record, queue, &flow, &tell);
        let connection = Connection::start(stream, channel.sealer, channel.opener, records, receive, ended)?;
        self.own_end = own_end;
        self.conversation.connection = Some(connection);
        Ok(())
    }
}
