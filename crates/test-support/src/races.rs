//! Pairs of concurrent operations on one team, and the invariants afterwards. Used by the tests and the system tests.

use keyhouse_domain::permission::{TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Member, Team, TeamRef};
use keyhouse_token::Mode;

use crate::TestApp;

/// An operation on the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// The owner makes the heir the owner.
    TransferOwnership,
    /// The owner makes the heir a member.
    Demote,
    /// Another admin removes the heir and revokes their keys.
    Remove,
    /// The heir leaves.
    Leave,
    /// The owner deletes the team.
    Delete,
}

const OPERATIONS: [Operation; 5] =
    [Operation::TransferOwnership, Operation::Demote, Operation::Remove, Operation::Leave, Operation::Delete];

struct Fixture {
    team: Team,
    owner: Member,
    admin: Member,
    heir: Member,
}

async fn act(app: &TestApp, fixture: &Fixture, operation: Operation) -> bool {
    let (app, from) = (&app.inner, "203.0.113.7");
    let heir = fixture.heir.person;
    let owner = TeamOwner::member(&fixture.owner, from).expect("the owner");
    match operation {
        Operation::TransferOwnership => app.transfer_ownership(&owner, heir).await.is_ok(),
        Operation::Demote => {
            let admin = TeamAdmin::member(&fixture.owner, from).expect("the owner");
            app.change_role(&admin, heir, Role::Member, None).await.is_ok()
        }
        Operation::Remove => {
            let admin = TeamAdmin::member(&fixture.admin, from).expect("an admin");
            app.remove_member(&admin, heir, true).await.is_ok()
        }
        Operation::Leave => {
            let leaving = TeamMember::member(&fixture.heir, from).expect("a member");
            app.leave_team(&leaving).await.is_ok()
        }
        Operation::Delete => app.delete_team(&owner).await.is_ok(),
    }
}

/// Runs every pair of operations concurrently, each also with itself, `rounds` times.
pub async fn every_pair(app: &TestApp, rounds: usize) {
    for (nth, one) in OPERATIONS.into_iter().enumerate() {
        for other in &OPERATIONS[nth..] {
            for round in 0..rounds {
                pair(app, one, *other, round).await;
            }
        }
    }
}

async fn pair(app: &TestApp, one: Operation, other: Operation, round: usize) {
    let team = app.team(&format!("{one:?} {other:?} {round}").replace(' ', "-")).await;
    for (email, role) in [("admin@example.com", Role::Admin), ("heir@example.com", Role::Admin)] {
        app.inner.add_member("tester", &team, &Email::parse(email).expect("an address"), role).await.expect("added");
    }
    let key = app.key(&team, Mode::Live, Scope::ReadOnly).await;
    let members = app.inner.queries().members(team.id).await.expect("members");
    let find = |email: &str| members.iter().find(|member| member.email.as_str() == email).cloned().expect("there");
    let fixture =
        Fixture { owner: members[0].clone(), admin: find("admin@example.com"), heir: find("heir@example.com"), team };
    let (first, second) = tokio::join!(act(app, &fixture, one), act(app, &fixture, other));

    let at = format!("{one:?} ({first}) and {other:?} ({second}), round {round}");
    assert!(first || second, "at least one of the two succeeds: {at}");
    let there = app.inner.queries().team(&TeamRef::Id(fixture.team.id)).await.expect("an answer");
    let members = app.inner.queries().members(fixture.team.id).await.expect("members");
    let deleted = [(one, first), (other, second)].contains(&(Operation::Delete, true));
    assert_eq!(there.is_none(), deleted, "{at}");
    if deleted {
        assert!(members.is_empty(), "{at}");
        assert!(
            !app.inner
                .queries()
                .key(key.key.id)
                .await
                .expect("an answer")
                .expect("kept")
                .key
                .is_active(app.clock.now()),
            "{at}"
        );
        return;
    }
    let owners: Vec<_> = members.iter().filter(|member| member.role == Role::Owner).collect();
    assert_eq!(owners.len(), 1, "{at}: {members:?}");
    let transferred = [(one, first), (other, second)].contains(&(Operation::TransferOwnership, true));
    assert_eq!(owners[0].person == fixture.heir.person, transferred, "{at}");
    // The new owner can not have left or been removed.
    let gone = [(one, first), (other, second)]
        .iter()
        .any(|(operation, done)| *done && matches!(operation, Operation::Remove | Operation::Leave));
    assert!(!(transferred && gone), "{at}");
}
