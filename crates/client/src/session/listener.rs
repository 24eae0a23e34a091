//! What a legacy server says on the GET stream of a session in which calls of one modern caller are made.
//!
//! 2025-11-25 wants what concerns a call on the call's own stream. SDKs whose tools ask without saying for which call send
//! it here. In a session with one call under way it can only be that call's; where there are more, nobody is asked.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use portolan_core::UpstreamCredential;
use portolan_wire::{envelope::Message, method::Method};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, watch},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    http_server::{
        get_stream::{GetStream, StreamEvent},
        open_session::{OpenSession, refuse_request},
    },
    session::{UpstreamSession, pool::SessionPool},
};

/// Messages that wait for one call to take them.
const WAITING: usize = 64;

/// Listens in one session, as long as calls are made there and a while longer.
#[derive(Debug)]
pub(crate) struct SessionListener {
    registry: Arc<CallRegistry>,
    open: Arc<OpenSession>,
    /// Whether the stream is open, or it is known that there is none.
    settled: watch::Receiver<bool>,
    waited: AtomicBool,
    _listening: AbortOnDropHandle<()>,
}

/// Who is there to be told.
#[derive(Debug, Default)]
struct CallRegistry {
    registered: Mutex<Registered>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Registered {
    calls: usize,
    /// The one call that may be meant.
    is_exclusive: Option<mpsc::Sender<Message>>,
    /// The server has asked while nobody could be meant: what it asks next may not be about the call of then.
    astray: bool,
    /// Nothing is heard any more.
    over: bool,
}

/// A call that is there. Dropped, it is not.
#[derive(Debug)]
pub(crate) struct CallGuard {
    listener: Arc<SessionListener>,
    said: Option<mpsc::Receiver<Message>>,
}

impl SessionListener {
    /// Begins to listen in a session that is open.
    pub(crate) fn begin(
        session: &Arc<UpstreamSession>,
        pool: &Arc<SessionPool>,
        open: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
    ) -> Option<Arc<Self>> {
        let runtime = Handle::try_current().ok()?;
        let registry = Arc::<CallRegistry>::default();
        let (settling, settled) = watch::channel(false);
        let listening = StreamReader {
            pool: pool.clone(),
            open: open.clone(),
            credential: credential.clone(),
            registry: registry.clone(),
            session: Arc::downgrade(session),
        };
        let listening = pool.http().streams().track_future(listening.listen(settling));
        let listening = AbortOnDropHandle::new(runtime.spawn(listening));
        Some(Arc::new(Self {
            registry,
            open: open.clone(),
            settled,
            waited: AtomicBool::new(false),
            _listening: listening,
        }))
    }

    /// Whether it listens in this session.
    pub(crate) fn is_of(&self, open: &Arc<OpenSession>) -> bool {
        Arc::ptr_eq(&self.open, open)
    }

    /// Lets a call in; `is_exclusive` if no other is there. Nobody comes in when nothing is heard any more.
    pub(crate) fn enter(self: &Arc<Self>, is_exclusive: bool) -> Option<CallGuard> {
        let mut registered = self.registry.lock();
        if registered.over {
            return None;
        }
        registered.calls += 1;
        let said = is_exclusive.then(|| {
            let (sender, said) = mpsc::channel(WAITING);
            registered.is_exclusive = Some(sender);
            said
        });
        drop(registered);
        self.registry.changed.notify_waiters();
        Some(CallGuard {
            listener: self.clone(),
            said,
        })
    }

    /// Whether what the server asks here may be about something else than the call that is there.
    pub(crate) fn is_astray(&self) -> bool {
        self.registry.lock().astray
    }

    /// Waits until the stream is open, or it is known that there is none: once, and for so long at most. Some servers send
    /// its head with the first event.
    pub(crate) async fn settled(&self, at_most: Duration) {
        if !*self.settled.borrow() && !self.waited.swap(true, Ordering::Relaxed) {
            let mut settled = self.settled.clone();
            let _ = tokio::time::timeout(at_most, settled.wait_for(|settled| *settled)).await;
        }
    }
}

impl CallGuard {
    pub(crate) fn listener(&self) -> &SessionListener {
        &self.listener
    }

    /// What is said, if it can only be said to this call.
    pub(crate) fn poll_said(&mut self, cx: &mut Context<'_>) -> Poll<Message> {
        match &mut self.said {
            Some(said) => match said.poll_recv(cx) {
                Poll::Ready(Some(message)) => Poll::Ready(message),
                Poll::Ready(None) | Poll::Pending => Poll::Pending,
            },
            None => Poll::Pending,
        }
    }

    /// Goes, and gives what nobody has taken.
    pub(crate) fn leave(&mut self) -> Vec<Message> {
        {
            let mut registered = self.listener.registry.lock();
            registered.calls = registered.calls.saturating_sub(1);
            if self.said.is_some() {
                registered.is_exclusive = None;
            }
        }
        self.listener.registry.changed.notify_waiters();
        let mut left = Vec::new();
        if let Some(mut said) = self.said.take() {
            while let Ok(message) = said.try_recv() {
                left.push(message);
            }
        }
        left
    }
}

impl CallRegistry {
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when nobody was there for so long. Nobody comes in any more then.
    async fn deserted(&self, grace: Duration) {
        loop {
            let changed = self.changed.notified();
            if self.lock().calls > 0 {
                changed.await;
                continue;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(grace) => {
                    let mut registered = self.lock();
                    if registered.calls == 0 {
                        registered.over = true;
                        return;
                    }
                }
            }
        }
    }
}

/// Whether a question belongs to a call: whether somebody is there, and its roots, are asked at any time.
pub(crate) fn is_of_a_call(method: &Method) -> bool {
    !matches!(method, Method::Ping | Method::RootsList)
}

struct StreamReader {
    pool: Arc<SessionPool>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    registry: Arc<CallRegistry>,
    session: Weak<UpstreamSession>,
}

impl StreamReader {
    async fn listen(self, settling: watch::Sender<bool>) {
        tokio::select! {
            () = self.hear(&settling) => {}
            () = self.registry.deserted(self.pool.http().timeouts().listen_grace) => {}
            () = self.pool.http().ended().cancelled() => {}
        }
        self.registry.lock().over = true;
        settling.send_replace(true);
        self.pool.unused(&self.session);
    }

    async fn hear(&self, settling: &watch::Sender<bool>) {
        let mut stream = GetStream::new(self.pool.http(), &self.open, &self.credential);
        let mut opened = false;
        loop {
            match stream.next().await {
                StreamEvent::Opened { .. } => {
                    opened = true;
                    settling.send_replace(true);
                }
                StreamEvent::Message(message) => self.said(message),
                // 404 is how some say that there is no such thing; of a session that is over, its next call tells.
                StreamEvent::Unsupported | StreamEvent::Expired => {
                    if !opened {
                        self.pool.http().note_no_get_stream();
                    }
                    return;
                }
            }
        }
    }

    fn said(&self, message: Message) {
        let Message::Request(request) = message else {
            if let Some(is_exclusive) = &self.registry.lock().is_exclusive {
                let _ = is_exclusive.try_send(message);
            }
            return;
        };
        let refused = {
            let mut registered = self.registry.lock();
            match &registered.is_exclusive {
                Some(is_exclusive) => match is_exclusive.try_send(Message::Request(request)) {
                    Ok(()) => return,
                    Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => back,
                },
                None => {
                    registered.astray |= is_of_a_call(&request.method);
                    Message::Request(request)
                }
            }
        };
        if let Message::Request(request) = &refused {
            refuse_request(self.pool.http(), &self.open, &self.credential, request);
        }
    }
}
