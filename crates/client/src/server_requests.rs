//! What a server asks in the middle of a call, in the words of either era.

use bytes::Bytes;
use portolan_core::RpcResponse;
use portolan_wire::{
    envelope,
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

/// What a legacy server asks, which it may: it was told that this client can answer it.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// What its answer is given with.
    pub key: ServerRequestKey,
    /// What is asked.
    pub method: Method,
    /// The params, raw.
    pub params: Option<Bytes>,
}

/// How a server tells its questions apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRequestKey {
    /// The id of a JSON-RPC request.
    Id(RequestId),
    /// The key that the owner of its pipes gave.
    Channel(u64),
}

/// An `input_required` result.
#[derive(Clone, Debug)]
pub struct InputRequired {
    /// The result as it came.
    pub result: RawObject,
    /// Whether it was made here from an error of a legacy server, to which answers mean nothing.
    pub ours: bool,
}

/// Why an answer of a client to a question does not fit.
pub(crate) type Problem = &'static str;

impl InputRequired {
    /// A result of a modern server.
    pub fn new(result: RawObject) -> Self {
        Self { result, ours: false }
    }

    /// The same from the `data` of -32042, by which a 2025-11-25 server wants pages to be visited.
    pub fn visits(data: Option<&Bytes>) -> Option<Self> {
        let data = RawObject::parse_checked(data?).ok()?;
        let pages: Vec<&serde_json::value::RawValue> = serde_json::from_slice(data.get("elicitations")?).ok()?;
        let mut requests = RawObject::new();
        for (at, page) in pages.iter().take(MAX_SERVER_REQUESTS).enumerate() {
            let page = Bytes::copy_from_slice(page.get().as_bytes());
            let params = modern_params(&Method::Elicit, Some(&page));
            requests.set(&format!("page-{}", at + 1), request(&Method::Elicit, params.as_ref()));
        }
        if requests.is_empty() {
            return None;
        }
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        Some(Self { result, ours: true })
    }

    /// The pages that are to be visited.
    pub fn pages(&self) -> Vec<String> {
        let url = |(_, _, params): (String, Method, Option<Bytes>)| {
            let params = RawObject::parse_checked(&params?).ok()?;
            Some(object::text(params.get("url")?)?.into_owned())
        };
        self.requests()
            .unwrap_or_default()
            .into_iter()
            .filter_map(url)
            .collect()
    }

    /// The state that the server wants back, raw.
    pub fn state(&self) -> Option<&Bytes> {
        self.result.get("requestState")
    }

    /// What is asked, each under its key.
    pub fn requests(&self) -> Result<Vec<(String, Method, Option<Bytes>)>, Problem> {
        let Some(raw) = self.result.get("inputRequests") else {
            return Ok(Vec::new());
        };
        let requests = RawObject::parse_checked(raw).map_err(|_| "its inputRequests are no JSON object")?;
        if requests.len() > MAX_SERVER_REQUESTS {
            return Err("it asks too much at once");
        }
        let read = |(key, raw): (std::borrow::Cow<'_, str>, &Bytes)| {
            let request = RawObject::parse_checked(raw).ok()?;
            let method = Method::parse(&object::text(request.get("method")?)?);
            Some((key.into_owned(), method, request.get("params").cloned()))
        };
        requests
            .iter()
            .map(|one| read(one).ok_or("a question of it cannot be read"))
            .collect()
    }
}

/// Questions that one answer may hold.
pub const MAX_SERVER_REQUESTS: usize = 64;

/// The `resultType` of a result that asks.
pub const INPUT_REQUIRED: &[u8] = br#""input_required""#;

/// A question as it stands in `inputRequests`.
pub fn request(method: &Method, params: Option<&Bytes>) -> Bytes {
    let mut request = RawObject::new();
    request.set("method", object::quote(method.as_str()));
    if let Some(params) = params {
        request.set("params", params.clone());
    }
    request.to_bytes()
}

/// The params of a question for a modern client: without what only 2025-11-25 knows.
pub fn modern_params(method: &Method, params: Option<&Bytes>) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(params?).ok()?;
    members.remove("task");
    if *method == Method::Elicit {
        members.remove("elicitationId");
    }
    Some(members.to_bytes())
}

/// A JSON-RPC response with an answer.
pub fn response(id: &RequestId, answer: &RpcResponse) -> Bytes {
    match answer {
        RpcResponse::Result(raw) => envelope::result(id, raw),
        RpcResponse::Error(raw) => {
            let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the client cannot answer"));
            envelope::error(Some(id), &error)
        }
    }
}
