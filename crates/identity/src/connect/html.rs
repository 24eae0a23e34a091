//! The pages themselves.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use maud::{DOCTYPE, Markup, html};
use portolan_core::{Field, Install, ServerSpec};

use crate::outbound::ConnectionState;

/// The style of the pages where the host sets none: the system's font and colours.
const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;\
color-scheme:light dark}label{display:block;margin-top:1rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}\
button{font:inherit;padding:.5rem 1rem;margin-top:1rem}";

/// How a host's pages look.
#[derive(Debug)]
pub(super) struct Theme {
    pub(super) title: String,
    pub(super) style: Option<String>,
    /// `true` if the pages and providers are reached by plain HTTP, as in development.
    pub(super) plain_http: bool,
}

impl Theme {
    /// Makes a response of a page.
    pub(super) fn page(&self, status: StatusCode, heading: &str, content: &Markup) -> Response<Bytes> {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (heading) " – " (self.title) }
                    link rel="stylesheet" href="?style";
                }
                body {
                    header { p { (self.title) } }
                    main { h1 { (heading) } (content) }
                }
            }
        };
        self.response(status, "text/html; charset=utf-8", page.into_string())
    }

    /// Makes the response of the style sheet.
    pub(super) fn style(&self) -> Response<Bytes> {
        let style = self.style.clone().unwrap_or_else(|| STYLE.to_owned());
        self.response(StatusCode::OK, "text/css; charset=utf-8", style)
    }

    /// Makes a response with the headers of all pages: no script, no frame, no cache, no referrer.
    pub(super) fn response(&self, status: StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
        // A form's redirect to a provider counts as an action of the form.
        let actions = if self.plain_http {
            "'self' https: http:"
        } else {
            "'self' https:"
        };
        let policy = format!(
            "default-src 'none'; style-src 'self'; form-action {actions}; base-uri 'none'; frame-ancestors 'none'"
        );
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// The name of a server for people.
pub(super) fn title(server: &ServerSpec) -> &str {
    server.title.as_deref().unwrap_or(server.name.as_str())
}

/// The page of an install that is connected by signing in.
pub(super) fn sign_in(server: &ServerSpec, install: &Install, state: &ConnectionState, token: &str) -> Markup {
    html! {
        @match state {
            ConnectionState::Connected { by, issuer, scopes, .. } => {
                p { "Connected at " strong { (issuer) } @if let Some(by) = by { " by " (by) } "." }
                @if !scopes.is_empty() {
                    h2 { "Permissions" }
                    ul { @for scope in scopes { li { (scope) } } }
                }
            }
            ConnectionState::Revoked { reason } => p role="status" { "The sign-in has ended: " (reason) "." },
            ConnectionState::Absent => p { "Nobody has signed in to it yet." },
        }
        p { "You will sign in to " strong { (title(server)) } ". What you allow there is used for calls of "
            (install.owner) "." }
        (form("start", token, "Sign in", &html! {}))
        @if *state != ConnectionState::Absent {
            (form("disconnect", token, "Disconnect", &html! {}))
        }
    }
}

/// The page of an install whose server asks for values.
pub(super) fn fields(server: &ServerSpec, install: &Install, problem: Option<&str>, token: &str) -> Markup {
    let inputs = html! {
        @for (number, field) in server.fields.iter().enumerate() { (input(number, field, install)) }
    };
    html! {
        @if let Some(problem) = problem { p role="alert" { (problem) } }
        @if server.fields.is_empty() {
            p { "It needs nothing from you." }
        } @else {
            (form("answer", token, "Save", &inputs))
        }
    }
}

fn input(number: usize, field: &Field, install: &Install) -> Markup {
    let (id, hint) = (format!("field-{number}"), format!("hint-{number}"));
    let answer = install.answers.get(&field.key).or(field.default.as_ref());
    let kept = field.secret && install.secrets.contains_key(&field.key);
    html! {
        label for=(id) { (field.title.as_deref().unwrap_or(field.key.as_str())) @if field.required { " (required)" } }
        input id=(id) name=(id) aria-describedby=(hint) type=(if field.secret { "password" } else { "text" })
            autocomplete="off" value=[answer.filter(|_| !field.secret)] required[field.required && !kept];
        p id=(hint) { (field.description.as_deref().unwrap_or_default())
            @if kept { " A value is stored. Leave this empty to keep it." } }
    }
}

fn form(action: &str, token: &str, label: &str, content: &Markup) -> Markup {
    html! {
        form method="post" {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="action" value=(action);
            (content)
            button type="submit" { (label) }
        }
    }
}

/// The list of a person's installs.
pub(super) fn list(rows: &[(String, String, &'static str)]) -> Markup {
    html! {
        @if rows.is_empty() { p { "Nothing is installed for you." } }
        ul { @for (title, link, state) in rows { li { a href=(link) { (title) } ": " (state) } } }
    }
}
