//! Pairs of deeds on one team in the same moment, and what must hold afterwards. For the tests and, longer, the drills.

use keyhouse::domain::key::{Mode, Scope};
use keyhouse::domain::person::Email;
use keyhouse::domain::role::{Participant, Role, TeamAdmin, TeamOwner};
use keyhouse::domain::team::{Member, Team, TeamRef};

use super::House;

/// What somebody does to the team.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
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

const DEEDS: [Deed; 5] = [Deed::HandOver, Deed::Demote, Deed::Remove, Deed::Leave, Deed::Delete];

struct Cast {
    team: Team,
    owner: Member,
    admin: Member,
    heir: Member,
}

async fn act(house: &House, cast: &Cast, deed: Deed) -> bool {
    let (app, from) = (&house.app, "203.0.113.7");
    let heir = cast.heir.person;
    let owner = TeamOwner::member(&cast.owner, from).expect("the owner");
    match deed {
        Deed::HandOver => app.hand_over_team(&owner, heir).await.is_ok(),
        Deed::Demote => {
            let admin = TeamAdmin::member(&cast.owner, from).expect("the owner");
            app.change_role(&admin, heir, Role::Member).await.is_ok()
        }
        Deed::Remove => {
            let admin = TeamAdmin::member(&cast.admin, from).expect("an admin");
            app.remove_member(&admin, heir, true).await.is_ok()
        }
        Deed::Leave => {
            let leaving = Participant::member(&cast.heir, from).expect("a member");
            app.leave_team(&leaving, heir).await.is_ok()
        }
        Deed::Delete => app.delete_team(&owner).await.is_ok(),
    }
}

/// Every pair of deeds, also with itself, `rounds` times each, both at once.
pub async fn every_pair(house: &House, rounds: usize) {
    for (nth, one) in DEEDS.into_iter().enumerate() {
        for other in &DEEDS[nth..] {
            for round in 0..rounds {
                pair(house, one, *other, round).await;
            }
        }
    }
}

async fn pair(house: &House, one: Deed, other: Deed, round: usize) {
    let team = house.team(&format!("{one:?} {other:?} {round}").replace(' ', "-")).await;
    for (email, role) in [("admin@example.com", Role::Admin), ("heir@example.com", Role::Admin)] {
        house.app.add_member("tester", &team, &Email::parse(email).expect("an address"), role).await.expect("added");
    }
    let key = house.key(&team, Mode::Live, Scope::ReadOnly).await;
    let members = house.app.members_of(&team).await.expect("members");
    let find = |email: &str| members.iter().find(|member| member.email.as_str() == email).cloned().expect("there");
    let cast =
        Cast { owner: members[0].clone(), admin: find("admin@example.com"), heir: find("heir@example.com"), team };
    let (first, second) = tokio::join!(act(house, &cast, one), act(house, &cast, other));

    let at = format!("{one:?} ({first}) and {other:?} ({second}), round {round}");
    assert!(first || second, "one of two is always done: {at}");
    let there = house.app.team(&TeamRef::Id(cast.team.id)).await.expect("an answer");
    let members = house.app.members_of(&cast.team).await.expect("members");
    let deleted = [(one, first), (other, second)].contains(&(Deed::Delete, true));
    assert_eq!(there.is_none(), deleted, "{at}");
    if deleted {
        assert!(members.is_empty(), "{at}");
        assert!(!house.app.key(key.key.id).await.expect("an answer").expect("kept").key.is_active(), "{at}");
        return;
    }
    let owners: Vec<_> = members.iter().filter(|member| member.role == Role::Owner).collect();
    assert_eq!(owners.len(), 1, "{at}: {members:?}");
    let handed_over = [(one, first), (other, second)].contains(&(Deed::HandOver, true));
    assert_eq!(owners[0].person == cast.heir.person, handed_over, "{at}");
    // Whoever was made the owner was there to stay.
    let gone =
        [(one, first), (other, second)].iter().any(|(deed, done)| *done && matches!(deed, Deed::Remove | Deed::Leave));
    assert!(!(handed_over && gone), "{at}");
}
