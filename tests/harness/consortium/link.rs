//! The way from one node to another, which a test can interrupt.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It does.
    Open,
    /// Nothing does. Nobody is told: what is under way waits, as behind a pulled cable.
    Cut,
}

/// A proxy in front of a node's port.
pub struct Link {
    address: String,
    way: watch::Sender<Way>,
}

impl Link {
    /// The way to `target`.
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (way, passes) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(relay(near, target.clone(), passes.clone()));
            }
        });
        Self { address, way }
    }

    /// Where it begins.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Opens or cuts it.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

async fn relay(near: TcpStream, target: String, mut passes: watch::Receiver<Way>) {
    if open(&mut passes).await.is_none() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_read, near_write) = split(near);
    let (far_read, far_write) = split(far);
    tokio::join!(pump(near_read, far_write, passes.clone()), pump(far_read, near_write, passes));
}

async fn pump(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, mut passes: watch::Receiver<Way>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // The end of a connection does not pass either.
        if open(&mut passes).await.is_none() {
            return;
        }
        if read == 0 {
            let _gone = to.shutdown().await;
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// None once the test is over.
async fn open(passes: &mut watch::Receiver<Way>) -> Option<()> {
    passes.wait_for(|way| *way == Way::Open).await.ok().map(drop)
}
