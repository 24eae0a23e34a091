//! A balancer of TCP connections: each goes to the next address that takes it.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Ends with its value.
pub(crate) struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    accepting: JoinHandle<()>,
}

impl Balancer {
    pub(crate) async fn start(backends: impl Into<Vec<SocketAddr>>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, backends) = (listener.local_addr()?, Arc::new(Mutex::new(backends.into())));
        let accepting = tokio::spawn(accept(listener, backends.clone()));
        Ok(Self {
            address,
            backends,
            accepting,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut backends = self.backends.lock().unwrap_or_else(PoisonError::into_inner);
        backends.retain(|backend| *backend != old);
        backends.push(new);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, backends: Arc<Mutex<Vec<SocketAddr>>>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let _ = client.set_nodelay(true);
        let order: Vec<SocketAddr> = {
            let mut backends = backends.lock().unwrap_or_else(PoisonError::into_inner);
            if !backends.is_empty() {
                backends.rotate_left(1);
            }
            backends.clone()
        };
        tokio::spawn(async move {
            for backend in order {
                if let Ok(mut server) = TcpStream::connect(backend).await {
                    let _ = server.set_nodelay(true);
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                    return;
                }
            }
        });
    }
}
