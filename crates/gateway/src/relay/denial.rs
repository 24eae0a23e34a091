//! The answer to a call that the policy denies.

use portolan_core::Decision;
use portolan_wire::{era::Era, error};

use super::{Relay, audit};
use crate::{
    relay_request::ClientRequest,
    reply::{self, Rejection},
    routing::{Denial, RequestContext},
};

impl Relay {
    /// Refuses a call that the policy denies, and records it. The client sees the answer for something unknown, or which
    /// scopes its token lacks.
    pub(super) fn denied(
        &self,
        context: &RequestContext,
        request: &ClientRequest,
        denial: Denial,
        era: Era,
    ) -> Rejection {
        audit::record_denial(self, context, request, &denial);
        match &denial.decision {
            Decision::StepUp { scopes, .. } => reply::insufficient_scope(&context.gateway.spec.name, scopes),
            _ => Rejection::new(error::http_status(denial.error.code, era), denial.error),
        }
    }
}
