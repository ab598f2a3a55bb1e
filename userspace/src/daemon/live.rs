//! From ready to stopped: the engine's thread, the tasks beside it, and the signals that end them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::announcer::{Announcer, FromKernel};
use super::health::Health;
use super::pipeline::{Command, Pipeline};
use super::reload::Reloader;
use super::{DaemonError, measure};
use crate::control::{self, Request};
use crate::mail::Courier;
use crate::source::{CommandSender, Inbox};
use crate::store::Writer;

/// The signals that mean something to us, caught.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn catch() -> Result<Self, DaemonError> {
        let system = |what| move |source| DaemonError::System { what, source };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(system("SIGTERM"))?,
            interrupt: signal(SignalKind::interrupt()).map_err(system("SIGINT"))?,
            hangup: signal(SignalKind::hangup()).map_err(system("SIGHUP"))?,
        })
    }
}

/// What `live` takes over.
pub(super) struct Live {
    pub(super) signals: Signals,
    pub(super) pipeline: Pipeline,
    pub(super) inbox: Inbox<Command>,
    pub(super) commands: CommandSender<Command>,
    pub(super) reloader: Reloader,
    pub(super) couriers: mpsc::UnboundedReceiver<Option<Courier>>,
    pub(super) drops: Option<FromKernel>,
    pub(super) listener_dir: PathBuf,
    pub(super) control_group: Option<String>,
    pub(super) first: bool,
    pub(super) writer: Writer,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) health: Health,
}

pub(super) async fn live(live: Live) -> Result<(), DaemonError> {
    let Live {
        signals,
        mut pipeline,
        inbox,
        commands,
        reloader,
        couriers,
        drops,
        listener_dir,
        control_group,
        first,
        writer,
        metrics,
        health,
    } = live;
    let system = |what| move |source| DaemonError::System { what, source };
    let Signals { mut terminate, mut interrupt, mut hangup } = signals;
    let listener = control::bind(&listener_dir, control_group.as_deref())?;
    pipeline.announce_start();
    pipeline.tell_way_in(first);

    let (ended, mut engine_ended) = oneshot::channel();
    let engine = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || {
            pipeline.run(&inbox);
            // Nobody waits any more where main is on its way out.
            ended.send(()).ok();
        })
        .map_err(system("a thread for the engine"))?;

    let ask = commands.clone();
    let by_signal = reloader.clone();
    let hangups = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            by_signal.ask(None);
        }
    });
    let server = tokio::spawn(control::serve(listener, move |asked| {
        if asked.request == Request::Reload {
            reloader.ask(Some(asked.answer));
        } else if let Err(error) = ask.send(Command::Asked(asked)) {
            tracing::warn!(%error, "A control request was turned away.");
        }
    }));
    let announcer = drops.map(|drops| Announcer::spawn(drops, commands.clone()));
    let measured = metrics.map(|at| tokio::spawn(measure::serve(at, commands.clone(), health)));
    let (stop_courier, stopped) = oneshot::channel::<()>();
    let courier = tokio::spawn(carry(couriers, stopped));

    let reason = tokio::select! {
        _ = terminate.recv() => Some("SIGTERM"),
        _ = interrupt.recv() => Some("SIGINT"),
        _ = &mut engine_ended => None,
    };
    if let Some(reason) = reason {
        tracing::info!(reason, "Stopping; bans go on in the kernel, and lapse by themselves.");
        if commands.send(Command::Stop { reason }).is_err() {
            tracing::warn!("The engine had stopped already.");
        }
        drop(engine_ended.await);
    }
    server.abort();
    measured.inspect(JoinHandle::abort);
    hangups.abort();
    drop(announcer);
    let panicked = engine.join().is_err();
    drop(stop_courier);
    if let Err(error) = courier.await {
        tracing::error!(%error, "The mail task ended badly.");
    }
    writer.close();
    if panicked || reason.is_none() { Err(DaemonError::EngineEnded) } else { Ok(()) }
}

/// Lets one courier after the other work: a reload brings another.
async fn carry(
    mut couriers: mpsc::UnboundedReceiver<Option<Courier>>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut courier = None;
    loop {
        let mut next = None;
        let until = async {
            tokio::select! {
                another = couriers.recv() => next = another,
                // Dropped or sent: both mean the end.
                _ = &mut stopped => {}
            }
        };
        match courier.take() {
            Some(courier) => Courier::run(courier, until).await,
            None => until.await,
        }
        match next {
            Some(another) => courier = another,
            None => return,
        }
    }
}
