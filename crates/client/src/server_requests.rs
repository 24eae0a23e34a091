//! Requests of a server during a call, in the form of either era.

use bytes::Bytes;
use portolan_core::RpcResponse;
use portolan_wire::{
    envelope,
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

/// A request of a legacy server during a call, which a capability of the client permits.
#[derive(Clone, Debug)]
pub struct ServerRequest {
    /// The key with which it is [answered](crate::Events::answer).
    pub key: ServerRequestKey,
    /// The method of the request.
    pub method: Method,
    /// The params, raw.
    pub params: Option<Bytes>,
}

/// Identifies a server request within its call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRequestKey {
    /// The id of a JSON-RPC request.
    Id(RequestId),
    /// The key that the channel gave.
    Channel(u64),
}

/// An `input_required` result.
#[derive(Clone, Debug)]
pub struct InputRequired {
    /// The result, as it came.
    pub result: RawObject,
    /// `true` if this client made it from an error of a legacy server, which takes no input.
    pub ours: bool,
}

/// The reason why a client's input does not fit.
pub(crate) type Problem = &'static str;

impl InputRequired {
    /// Wraps a result of a modern server.
    ///
    /// ```
    /// use portolan_client::InputRequired;
    /// use portolan_wire::object::RawObject;
    ///
    /// let result = r#"{"resultType":"input_required","requestState":"7"}"#;
    /// let required = InputRequired::new(RawObject::parse(&result.into()).expect("an object"));
    /// assert_eq!(required.state().expect("a state"), "\"7\"");
    /// ```
    pub fn new(result: RawObject) -> Self {
        Self { result, ours: false }
    }

    /// Reads the `data` of error -32042, with which a 2025-11-25 server wants URLs to be visited; `None` if it names none.
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

    /// Returns the URLs to visit.
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

    /// Returns the `requestState`, raw, which the server wants back.
    pub fn state(&self) -> Option<&Bytes> {
        self.result.get("requestState")
    }

    /// Returns the requests for input, each with its key, method and params.
    ///
    /// # Errors
    ///
    /// A text that says what is not valid in the `inputRequests`.
    pub fn requests(&self) -> Result<Vec<(String, Method, Option<Bytes>)>, Problem> {
        let Some(raw) = self.result.get("inputRequests") else {
            return Ok(Vec::new());
        };
        let requests = RawObject::parse_checked(raw).map_err(|_| "its inputRequests are not a JSON object")?;
        if requests.len() > MAX_SERVER_REQUESTS {
            return Err("its inputRequests are too many");
        }
        let read = |(key, raw): (std::borrow::Cow<'_, str>, &Bytes)| {
            let request = RawObject::parse_checked(raw).ok()?;
            let method = Method::parse(&object::text(request.get("method")?)?);
            Some((key.into_owned(), method, request.get("params").cloned()))
        };
        requests
            .iter()
            .map(|one| read(one).ok_or("a member of its inputRequests cannot be parsed"))
            .collect()
    }
}

/// The largest number of requests for input in one result.
pub const MAX_SERVER_REQUESTS: usize = 64;

/// The `resultType` of a result that requires input.
pub const INPUT_REQUIRED: &[u8] = br#""input_required""#;

/// Returns a request as a member of `inputRequests`.
pub fn request(method: &Method, params: Option<&Bytes>) -> Bytes {
    let mut request = RawObject::new();
    request.set("method", object::quote(method.as_str()));
    if let Some(params) = params {
        request.set("params", params.clone());
    }
    request.to_bytes()
}

/// Returns the params of a server request for a modern client: without members of 2025-11-25.
pub fn modern_params(method: &Method, params: Option<&Bytes>) -> Option<Bytes> {
    let mut members = RawObject::parse_checked(params?).ok()?;
    members.remove("task");
    if *method == Method::Elicit {
        members.remove("elicitationId");
    }
    Some(members.to_bytes())
}

/// Returns a JSON-RPC response.
pub fn response(id: &RequestId, answer: &RpcResponse) -> Bytes {
    match answer {
        RpcResponse::Result(raw) => envelope::result(id, raw),
        RpcResponse::Error(raw) => {
            let error = ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the client cannot answer"));
            envelope::error(Some(id), &error)
        }
    }
}
