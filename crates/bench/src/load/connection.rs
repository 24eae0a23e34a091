//! A persistent HTTP/1.1 connection.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::response::Response;
use crate::Result;

/// A connection to the measured system.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    pub(crate) response: Response,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            response: Response::new(),
        })
    }

    /// Sends a request and reads its response into [`Connection::response`].
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        skip_text: bool,
        buffer: &RefCell<Box<[u8]>>,
    ) -> Result<()> {
        self.response.reset(skip_text);
        self.stream.write_all(request).await?;
        while !self.response.is_done() {
            self.stream.readable().await?;
            self.read_ready(&mut buffer.borrow_mut())?;
        }
        if self.response.head.closes {
            Err("the connection is closed by the other side".into())
        } else {
            Ok(())
        }
    }

    fn read_ready(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.stream.try_read(buffer) {
            Ok(0) => Err("the connection ended in the middle of a response".into()),
            Ok(count) => self.response.feed(&buffer[..count]),
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(problem) => Err(problem.into()),
        }
    }
}
