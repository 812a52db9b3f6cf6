//! The API's socket: who is connected, and who has to leave when there are too many.
//!
//! It runs on threads of its own, so that reading requests and writing answers takes nothing from the tasks that carry
//! votes.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dtn_api::{ApiServer as _, NEEDS_WEBSOCKET};
use hyper::{StatusCode, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::{
    Extensions, RpcModule,
    server::{
        BatchRequestConfig, HttpBody, HttpRequest, HttpResponse, Methods, Server, ServerConfig, ServerHandle,
        StopHandle, TowerService, http::response, middleware::rpc::RpcServiceBuilder, stop_channel, ws,
    },
    types::{ErrorObject, Params},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::{sleep, timeout},
};
use tower::{
    Service,
    layer::util::{Identity, Stack},
};

use super::{
    MAX_REQUEST,
    calls::{Budget, CallsLayer},
    connection::{Connection, Socket},
    gate::{Admitted, Gate},
};
use crate::{NodeError, NodeHandle, monitoring};

/// Threads that read requests and write answers.
pub(super) const THREADS: usize = 2;

/// Connections at a time; fewer where the system gives a process few descriptors.
const MAX_CONNECTIONS: usize = 256;

/// The API's share of a process's descriptors: the rest is for links, the line port and the store.
const DESCRIPTOR_SHARE: usize = 4;

/// Connections from one address that is not this machine.
const MAX_PER_ADDRESS: usize = 64;

/// Of them, WebSockets.
const MAX_SESSIONS: usize = MAX_CONNECTIONS / 2;

/// How long the head of a request may take to come.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// The longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The longest message of a WebSocket, in bytes.
const MAX_MESSAGE: u32 = 256 * 1024;

/// Calls in one batch. They are made one after the other and answered together.
const MAX_BATCH: u32 = 32;

/// Messages that may wait for a slow client of one WebSocket.
const MAX_BUFFERED: u32 = 4;

/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 4;

/// JSON takes at most so many times the bytes of a block.
const JSON_FACTOR: u64 = 4;

/// The pause after the system had no connection to give.
const PAUSE: Duration = Duration::from_millis(100);

/// How often it is looked who takes no answers.
const ROUND: Duration = Duration::from_secs(1);

type Rpc = TowerService<Stack<CallsLayer, Identity>, Identity>;

/// A bound socket.
#[derive(Debug)]
pub(crate) struct ApiListener {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl ApiListener {
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, NodeError> {
        let failed = |error: io::Error| NodeError::Api { address, error: error.to_string() };
        let listener = std::net::TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the API asks nobody who they are: whoever reaches it may use it");
        }
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the server is dropped, also under other names than its address.
    pub(crate) fn serve(self, node: NodeHandle, names: &[String]) -> Result<Serving, NodeError> {
        let address = self.address;
        let failed = |error: io::Error| NodeError::Api { address, error: error.to_string() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("api")
            .on_thread_start(give_way)
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(self.listener).map_err(failed)?
        };
        let (stop, handle) = stop_channel();
        let max_block = node.reader().genesis().max_block_bytes;
        let max_answer = u32::try_from(max_block.saturating_mul(JSON_FACTOR)).unwrap_or(u32::MAX);
        let budget = Budget::new(max_answer as usize);
        let calls = node.clone().into_rpc();
        let without_subscriptions = without_subscriptions(calls.clone());
        let service = |max_request, methods: Methods| {
            let config = ServerConfig::builder()
                .max_request_body_size(max_request)
                .max_response_body_size(max_answer)
                .set_message_buffer_capacity(MAX_BUFFERED)
                .max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
                .set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
                // The seats bound the connections.
                .max_connections(u32::MAX >> 1)
                .build();
            let calls = RpcServiceBuilder::new().layer(CallsLayer(budget.clone()));
            let server = Server::builder().set_config(config).set_rpc_middleware(calls).to_service_builder();
            server.build(methods, stop.clone())
        };
        let http = service(MAX_REQUEST as u32, without_subscriptions.into());
        let ws = service(MAX_MESSAGE, calls.into());
        let gate = Gate::new(names, budget.clone());
        let seats = Seats::new(max_connections());
        runtime.spawn(accept(listener, Arc::new(Shared { node, gate, http, ws, stop, seats })));
        Ok(Serving { runtime: Some(runtime), handle })
    }
}

/// The calls for those who cannot be told anything later: instead of subscribing they learn what that takes.
fn without_subscriptions(mut calls: RpcModule<NodeHandle>) -> RpcModule<NodeHandle> {
    const REASON: &str = "subscriptions need a WebSocket: connect to ws:// at the same address";
    let subscriptions: Vec<_> = calls.method_names().filter(|name| name.contains("ubscribe")).collect();
    for name in subscriptions {
        calls.remove_method(name);
        let refuse = |_: Params<'_>, _: &NodeHandle, _: &Extensions| {
            Err::<(), _>(ErrorObject::owned(NEEDS_WEBSOCKET, REASON, None::<()>))
        };
        calls.register_method(name, refuse).expect("its name was just freed");
    }
    calls
}

/// Lets the threads that vote and settle go first where processors are short. Only Linux has priorities of threads.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "the API runs at the priority of the votes");
    }
}

/// How many connections the descriptors of this process allow.
fn max_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    descriptors(&limits).map_or(MAX_CONNECTIONS, |all| (all / DESCRIPTOR_SHARE).clamp(1, MAX_CONNECTIONS))
}

/// The soft limit of descriptors, as Linux tells it; none where there is no limit or it is not told.
fn descriptors(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Serves while it is there.
#[derive(Debug)]
pub(crate) struct Serving {
    runtime: Option<Runtime>,
    handle: ServerHandle,
}

impl Serving {
    /// Takes no further calls.
    pub(crate) fn stop(&self) {
        self.handle.stop().ok();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Whoever drops it may not wait.
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// What all connections share.
struct Shared {
    node: NodeHandle,
    gate: Gate,
    http: Rpc,
    ws: Rpc,
    stop: StopHandle,
    seats: Seats,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let seats = &shared.seats;
    let stopped = shared.stop.clone().shutdown();
    tokio::pin!(stopped);
    let mut round = tokio::time::interval(ROUND);
    let mut is_short = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = round.tick() => {
                seats.close_stuck(shared.gate.is_crowded());
                continue;
            }
            () = &mut stopped => return,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !std::mem::replace(&mut is_short, true) {
                    tracing::warn!(%error, "the API cannot accept connections");
                }
                sleep(PAUSE).await;
                continue;
            }
        };
        is_short = false;
        let connection = Arc::new(Connection::new());
        match seats.take(from.ip(), &connection) {
            Some(seat) => drop(tokio::spawn(serve(stream, connection, seat, shared.clone()))),
            None => tracing::debug!(%from, "the API has too many connections"),
        }
    }
}

async fn serve(stream: TcpStream, connection: Arc<Connection>, seat: Seat, shared: Arc<Shared>) {
    let Ok(at) = stream.local_addr() else { return };
    stream.set_nodelay(true).ok();
    let socket = TokioIo::new(Socket::new(stream, connection.clone(), seat));
    let stop = shared.stop.clone();
    let service = service_fn(move |request| {
        let (shared, connection) = (shared.clone(), connection.clone());
        async move { Ok::<_, Infallible>(respond(request, at.ip(), &connection, &shared).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .serve_connection(socket, service)
        .with_upgrades();
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = stop.shutdown() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

/// Answers one request, or makes the connection a WebSocket.
async fn respond(
    mut request: HttpRequest<Incoming>,
    at: IpAddr,
    connection: &Arc<Connection>,
    shared: &Shared,
) -> HttpResponse {
    if let Some(refusal) = shared.gate.refusal(&request, at) {
        return refusal;
    }
    if let Some(page) = monitoring::page(&request, &shared.node).await {
        return page;
    }
    request.extensions_mut().insert(connection.clone());
    let answer = if ws::is_upgrade_request(&request) {
        if !shared.seats.begin_session(connection) {
            return response::too_many_requests();
        }
        let answer = shared.ws.clone().call(request.map(HttpBody::new)).await;
        let is_upgraded = answer.as_ref().is_ok_and(|answer| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
        connection.set_session(is_upgraded);
        answer
    } else {
        let Admitted { request, long } = match shared.gate.read(request).await {
            Ok(admitted) => admitted,
            Err(refusal) => return refusal,
        };
        // Who has said half of something is idle: it makes room for others.
        let _busy = connection.busy();
        let call = shared.http.clone().call(request);
        match long {
            None => call.await,
            Some((_room, patience)) => match timeout(patience, call).await {
                Ok(answer) => answer,
                Err(_) => return response::too_many_requests(),
            },
        }
    };
    answer.unwrap_or_else(|_| response::internal_error())
}

/// Who is connected.
#[derive(Debug, Clone)]
struct Seats {
    limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_arrival: BTreeMap<u64, (IpAddr, Arc<Connection>)>,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    id: u64,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// A seat, at the cost of whoever has been idle for longest if there is none; none if nobody is idle.
    fn take(&self, from: IpAddr, connection: &Arc<Connection>) -> Option<Seat> {
        let taken = &mut *lock(&self.taken);
        let same = taken.by_arrival.values().filter(|(address, _)| *address == from).count();
        if !from.is_loopback() && same >= MAX_PER_ADDRESS {
            taken.unseat_idle(|address, _| address == from)?;
        } else if taken.by_arrival.len() >= self.limit {
            taken.unseat_idle(|_, _| true)?;
        }
        let id = taken.next;
        taken.next += 1;
        taken.by_arrival.insert(id, (from, connection.clone()));
        Some(Seat { id, taken: self.taken.clone() })
    }

    /// Makes a connection a WebSocket, at the cost of the one that has been idle for longest if there are too many; not
    /// if none is idle.
    fn begin_session(&self, connection: &Connection) -> bool {
        let taken = &mut *lock(&self.taken);
        let sessions = taken.by_arrival.values().filter(|(_, it)| it.is_session()).count();
        let has_room = sessions < MAX_SESSIONS || taken.unseat_idle(|_, it| it.is_session()).is_some();
        connection.set_session(has_room);
        has_room
    }

    /// Ends the connections whose clients do not take their answers.
    fn close_stuck(&self, is_crowded: bool) {
        let taken = lock(&self.taken);
        taken.by_arrival.values().filter(|(_, it)| it.is_stuck(is_crowded)).for_each(|(_, it)| it.close());
    }
}

impl Taken {
    fn unseat_idle(&mut self, of: impl Fn(IpAddr, &Connection) -> bool) -> Option<()> {
        let idle = self.by_arrival.iter().filter(|(_, (from, connection))| of(*from, connection));
        let idle = idle.filter_map(|(id, (_, connection))| Some((connection.idle_since()?, *id)));
        let (_, oldest) = idle.min()?;
        self.by_arrival.remove(&oldest).map(|(_, connection)| connection.close())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.taken).by_arrival.remove(&self.id);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn connection() -> Arc<Connection> {
        Arc::new(Connection::new())
    }

    #[test]
    fn the_limit_of_descriptors_is_read_where_there_is_one() {
        let limits = "Max processes             1   2   processes\nMax open files            1024   1048576  files\n";
        assert_eq!(descriptors(limits), Some(1024));
        assert_eq!(descriptors("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(descriptors(""), None);
    }

    #[test]
    fn whoever_is_idle_for_longest_makes_room_and_nobody_who_is_not() {
        let (seats, here) = (Seats::new(3), IpAddr::from([127, 0, 0, 1]));
        let (first, second, third) = (connection(), connection(), connection());
        let taken: Vec<_> = [&first, &second, &third].map(|it| seats.take(here, it).unwrap()).into();
        let working = first.busy();
        let fourth = connection();
        let seat = seats.take(here, &fourth).unwrap();
        assert!(second.is_closed() && !first.is_closed() && !third.is_closed(), "the first is busy");
        let _all = [third.busy(), fourth.busy()];
        assert!(seats.take(here, &connection()).is_none(), "all are busy");
        drop(working);
        seats.take(here, &connection()).unwrap();
        assert!(first.is_closed());
        drop((taken, seat));
        assert!(lock(&seats.taken).by_arrival.is_empty());
    }

    #[test]
    fn a_websocket_that_says_nothing_makes_room_for_another() {
        let (seats, here) = (Seats::new(1_000), IpAddr::from([127, 0, 0, 1]));
        let all: Vec<_> = (0..=MAX_SESSIONS).map(|_| connection()).collect();
        let _seats: Vec<_> = all.iter().map(|it| seats.take(here, it).unwrap()).collect();
        let (last, silent) = all.split_last().unwrap();
        assert!(silent.iter().all(|it| seats.begin_session(it)));
        assert!(seats.begin_session(last) && last.is_session());
        assert_eq!(all.iter().filter(|it| it.is_closed()).count(), 1);
        let _busy: Vec<_> = all.iter().map(|it| it.busy()).collect();
        let one_more = connection();
        let _seat = seats.take(here, &one_more).unwrap();
        assert!(!seats.begin_session(&one_more) && !one_more.is_session(), "all have something under way");
    }

    #[test]
    fn one_address_cannot_have_all_seats_unless_it_is_this_machine() {
        let (seats, far, other) = (Seats::new(1_000), IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let all: Vec<_> = (0..MAX_PER_ADDRESS).map(|_| connection()).collect();
        let busy: Vec<_> = all.iter().map(|it| (it.busy(), seats.take(far, it).unwrap())).collect();
        assert!(seats.take(far, &connection()).is_none());
        assert!(seats.take(other, &connection()).is_some());
        drop(busy);
        assert!(seats.take(far, &connection()).is_some());
        let local = IpAddr::from([127, 0, 0, 1]);
        let _many: Vec<_> = (0..2 * MAX_PER_ADDRESS).map(|_| seats.take(local, &connection()).unwrap()).collect();
    }
}
