//! Cases of [`Policy`].

#![expect(clippy::unused_async, reason = "all cases are futures, for the suites")]

use std::sync::Arc;

use super::{race, sample};
use crate::{
    Action, Caller, Decision, MethodUse, Policy, PromptUse, ResourceUse, Scope, Subject, TeamId, ToolUse, UserId,
};

/// The policy under test.
pub type Backend = Arc<dyn Policy>;

/// Equal questions get equal answers.
pub async fn equal_questions_get_equal_answers(policy: Backend) {
    for caller in callers() {
        assert_eq!(decisions(&policy, &caller), decisions(&policy, &caller), "{caller:?}");
    }
}

/// If a policy says that it does not depend on the caller, it does not.
pub async fn declared_independence_of_caller_holds(policy: Backend) {
    if policy.depends_on_caller() {
        return;
    }
    let mut callers = callers().into_iter();
    let first = decisions(&policy, &callers.next().expect("a caller"));
    for caller in callers {
        assert_eq!(decisions(&policy, &caller), first, "{caller:?}");
    }
}

/// `depends_on_caller` is constant.
pub async fn dependence_on_caller_is_constant(policy: Backend) {
    let first = policy.depends_on_caller();
    callers().iter().for_each(|caller| drop(decisions(&policy, caller)));
    assert_eq!(policy.depends_on_caller(), first);
}

/// Questions at the same time get the same answers as one after the other.
pub async fn racing_questions_agree(policy: Backend) {
    let caller = callers().swap_remove(0);
    let expected = decisions(&policy, &caller);
    let answers = race((0..16).map(|_| {
        let (policy, caller) = (policy.clone(), caller.clone());
        async move { decisions(&policy, &caller) }
    }))
    .await;
    assert!(answers.iter().all(|answer| *answer == expected), "{answers:?}");
}

/// A long list is decided on item by item, so decisions come from memory.
pub async fn decisions_come_from_memory(policy: Backend) {
    for caller in callers() {
        for _ in 0..1000 {
            decisions(&policy, &caller);
        }
    }
}

fn callers() -> Vec<Caller> {
    let user = |name| Subject::User(UserId::parse(name).expect("a user"));
    let team = TeamId::parse("web").expect("a team");
    vec![
        Caller::new(user("alice"), "token").with_teams([team.clone()]),
        Caller::new(user("bob"), "jwt").with_scopes([Scope::parse("mcp:tools").expect("a scope")]),
        Caller::new(Subject::Team(team), "token"),
        Caller::new(Subject::Org, "token"),
    ]
}

fn decisions(policy: &Backend, caller: &Caller) -> Vec<Decision> {
    let (gateway, server) = (sample::gateway_name("default"), sample::server_name("time"));
    let tools = [
        sample::tool(r#"{"name":"now","annotations":{"readOnlyHint":true}}"#),
        sample::tool(r#"{"name":"erase","annotations":{"destructiveHint":true}}"#),
        sample::tool(sample::ODD_TOOL),
    ];
    let mut decisions = Vec::new();
    for tool in &tools {
        let mut used = ToolUse::new(&gateway, &server, tool);
        decisions.push(policy.decide(caller, &Action::UseTool(&used)));
        used.install = Some(sample::install_name(1));
        decisions.push(policy.decide(caller, &Action::UseTool(&used)));
    }
    let prompt = PromptUse::new(&gateway, &server, "summary");
    let resource = ResourceUse::new(&gateway, &server, "file:///etc/motd");
    let method = MethodUse::new(&gateway, &server, "skills/list");
    decisions.push(policy.decide(caller, &Action::GetPrompt(&prompt)));
    decisions.push(policy.decide(caller, &Action::ReadResource(&resource)));
    decisions.push(policy.decide(caller, &Action::UseMethod(&method)));
    decisions
}
