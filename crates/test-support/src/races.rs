//! Pairs of deeds on one team in the same moment, and what must hold afterwards. For the tests and, longer, the drills.

use keyhouse_domain::permission::{TeamAdmin, TeamMember, TeamOwner};
use keyhouse_domain::person::Email;
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::Scope;
use keyhouse_domain::team::{Member, Team, TeamRef};
use keyhouse_token::Mode;

use crate::TestApp;

/// What somebody does to the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    /// The owner makes the heir the owner.
    HandOver,
    /// The owner makes the heir a member.
    Demote,
    /// The other admin removes the heir, and revokes their keys.
    Remove,
    /// The heir leaves.
    Leave,
    /// The owner deletes the team.
    Delete,
}

const DEEDS: [Operation; 5] =
    [Operation::HandOver, Operation::Demote, Operation::Remove, Operation::Leave, Operation::Delete];

struct Fixture {
    team: Team,
    owner: Member,
    admin: Member,
    heir: Member,
}

async fn act(app: &TestApp, cast: &Fixture, deed: Operation) -> bool {
    let (app, from) = (&app.inner, "203.0.113.7");
    let heir = cast.heir.person;
    let owner = TeamOwner::member(&cast.owner, from).expect("the owner");
    match deed {
        Operation::HandOver => app.transfer_ownership(&owner, heir).await.is_ok(),
        Operation::Demote => {
            let admin = TeamAdmin::member(&cast.owner, from).expect("the owner");
            app.change_role(&admin, heir, Role::Member).await.is_ok()
        }
        Operation::Remove => {
            let admin = TeamAdmin::member(&cast.admin, from).expect("an admin");
            app.remove_member(&admin, heir, true).await.is_ok()
        }
        Operation::Leave => {
            let leaving = TeamMember::member(&cast.heir, from).expect("a member");
            app.leave_team(&leaving, heir).await.is_ok()
        }
        Operation::Delete => app.delete_team(&owner).await.is_ok(),
    }
}

/// Every pair of deeds, also with itself, `rounds` times each, both at once.
pub async fn every_pair(app: &TestApp, rounds: usize) {
    for (nth, one) in DEEDS.into_iter().enumerate() {
        for other in &DEEDS[nth..] {
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
    let members = app.inner.members_of(&team).await.expect("members");
    let find = |email: &str| members.iter().find(|member| member.email.as_str() == email).cloned().expect("there");
    let cast =
        Fixture { owner: members[0].clone(), admin: find("admin@example.com"), heir: find("heir@example.com"), team };
    let (first, second) = tokio::join!(act(app, &cast, one), act(app, &cast, other));

    let at = format!("{one:?} ({first}) and {other:?} ({second}), round {round}");
    assert!(first || second, "one of two is always done: {at}");
    let there = app.inner.team(&TeamRef::Id(cast.team.id)).await.expect("an answer");
    let members = app.inner.members_of(&cast.team).await.expect("members");
    let deleted = [(one, first), (other, second)].contains(&(Operation::Delete, true));
    assert_eq!(there.is_none(), deleted, "{at}");
    if deleted {
        assert!(members.is_empty(), "{at}");
        assert!(!app.inner.key(key.key.id).await.expect("an answer").expect("kept").key.is_active(), "{at}");
        return;
    }
    let owners: Vec<_> = members.iter().filter(|member| member.role == Role::Owner).collect();
    assert_eq!(owners.len(), 1, "{at}: {members:?}");
    let handed_over = [(one, first), (other, second)].contains(&(Operation::HandOver, true));
    assert_eq!(owners[0].person == cast.heir.person, handed_over, "{at}");
    // Whoever was made the owner was there to stay.
    let gone = [(one, first), (other, second)]
        .iter()
        .any(|(deed, done)| *done && matches!(deed, Operation::Remove | Operation::Leave));
    assert!(!(handed_over && gone), "{at}");
}
