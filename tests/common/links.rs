//! The links between the peers of a network, in the hands of a test: each passes through a forwarder of this process,
//! which takes no rights. A link can be cut without a word to its ends, and all of them can share one bandwidth.

use std::{
    fs,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::Runtime,
    sync::watch,
    time::{Instant, sleep_until},
};

use super::Scene;

/// What is buffered here for each direction of a connection: little, so that who sends feels what the link takes.
const BUFFER: u32 = 64 * 1024;

/// How much passes at once.
const PIECE: usize = 8 * 1024;

/// The links of a network.
pub(crate) struct Links {
    /// Which of the peers is on which side.
    sides: watch::Sender<Vec<bool>>,
    _runtime: Runtime,
}

impl Links {
    /// Has the peers of a network that is not up reach each other through forwarders, which together let so many bytes
    /// pass in a second, or any number.
    pub(crate) fn between_peers_of(scene: &Scene, bytes_per_second: Option<u64>) -> Self {
        let nodes = scene.nodes();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (sides, now) = watch::channel(vec![false; nodes]);
        let bandwidth = bytes_per_second.map(|rate| Arc::new(Bandwidth { rate, free: Mutex::new(Instant::now()) }));
        let ports: Vec<_> = (0..nodes).map(|peer| port(scene, peer)).collect();
        let _entered = runtime.enter();
        for from in 0..nodes {
            let file = scene.peer(from).join("node.toml");
            let mut config = fs::read_to_string(&file).unwrap();
            for to in (0..nodes).filter(|to| *to != from) {
                let entrance = listen();
                let at = entrance.local_addr().unwrap().port();
                config = config.replace(&format!("/tcp/{}\"", ports[to]), &format!("/tcp/{at}\""));
                let exit = SocketAddr::from(([127, 0, 0, 1], ports[to]));
                let link = Link { ends: [from, to], sides: now.clone(), bandwidth: bandwidth.clone() };
                runtime.spawn(serve(entrance, exit, link));
            }
            fs::write(file, config).unwrap();
        }
        Self { sides, _runtime: runtime }
    }

    /// Nothing passes between some peers and the others, and nobody is told.
    pub(crate) fn split(&self, away: &[usize]) {
        self.sides
            .send_modify(|sides| sides.iter_mut().enumerate().for_each(|(peer, side)| *side = away.contains(&peer)));
    }

    /// Everything passes, also what has been on its way.
    pub(crate) fn heal(&self) {
        self.split(&[]);
    }
}

/// Where a peer listens.
fn port(scene: &Scene, peer: usize) -> u16 {
    let config = fs::read_to_string(scene.peer(peer).join("node.toml")).unwrap();
    let listen = config.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap();
    listen.trim_matches('"').rsplit('/').next().unwrap().parse().unwrap()
}

fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(BUFFER).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(64).unwrap()
}

/// One peer's way to another.
#[derive(Clone)]
struct Link {
    ends: [usize; 2],
    sides: watch::Receiver<Vec<bool>>,
    bandwidth: Option<Arc<Bandwidth>>,
}

impl Link {
    /// Waits until so many bytes have passed.
    async fn pass(&mut self, bytes: usize) {
        let [from, to] = self.ends;
        // Whoever splits the network outlives its links.
        self.sides.wait_for(|sides| sides[from] == sides[to]).await.ok();
        if let Some(bandwidth) = &self.bandwidth {
            sleep_until(bandwidth.take(bytes)).await;
        }
    }
}

/// What all links share.
struct Bandwidth {
    rate: u64,
    /// When all that was let in before will have passed.
    free: Mutex<Instant>,
}

impl Bandwidth {
    /// When so many more bytes will have passed.
    fn take(&self, bytes: usize) -> Instant {
        let mut free = self.free.lock().unwrap();
        *free = (*free).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        *free
    }
}

async fn serve(entrance: TcpListener, exit: SocketAddr, link: Link) {
    while let Ok((near, _)) = entrance.accept().await {
        let mut link = link.clone();
        tokio::spawn(async move {
            link.pass(0).await;
            let Ok(far) = connect(exit).await else { return };
            near.set_nodelay(true).ok();
            far.set_nodelay(true).ok();
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(forward(from_near, to_far, link.clone()));
            forward(from_far, to_near, link).await;
        });
    }
}

async fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.connect(to).await
}

/// Passes on what comes, until one of the ends hangs up; then the other is told.
async fn forward(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut link: Link) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        link.pass(length).await;
        if to.write_all(&piece[..length]).await.is_err() {
            break;
        }
    }
    to.shutdown().await.ok();
}
