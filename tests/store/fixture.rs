//! A database with one team, its owner Ada, and values for the store's methods.

use std::net::Ipv4Addr;
use std::time::Duration;

use keyhouse_domain::api_key::{ApiKey, Conditions, KeyName, KeyState, KeyToken, NewKey};
use keyhouse_domain::audit::{Action, AuditActor, AuditContext, AuditFilter};
use keyhouse_domain::auth::Grant;
use keyhouse_domain::currency::Currency;
use keyhouse_domain::ids::{IdSeed, KeyId, LinkId, PersonId, ProductId, SessionId, TeamId};
use keyhouse_domain::link::Purpose;
use keyhouse_domain::password::PasswordHash;
use keyhouse_domain::permission::{KeyAdmin, TeamAdmin, TeamOwner};
use keyhouse_domain::person::{Email, PersonName};
use keyhouse_domain::price::Price;
use keyhouse_domain::product::{Product, ProductFields, ProductName, ProductPatch, Sku, Status};
use keyhouse_domain::role::Role;
use keyhouse_domain::scope::{Access, Scope};
use keyhouse_domain::secret::{Secret, SecretHash};
use keyhouse_domain::team::{Member, Team, TeamName};
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{CreateKeyError, Location, NewKeyRow, NewLink, NewMember, NewSession, NewTeam, Queries, Store};
use keyhouse_token::{Brand, Mode, RawToken};

use test_support::{Engine, TestDatabase};

use super::plans::Plans;

pub(super) const NOW: Timestamp = Timestamp::from_ms(1_795_512_600_000);
pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn seed(n: u32) -> IdSeed {
    IdSeed { ms: 1_795_512_600_000, random: u128::from(n) << 32 }
}

/// The context of the nth operation of a test, at `at`. Each operation needs its own number.
pub(super) fn at(n: u32, at: Timestamp) -> AuditContext {
    AuditContext { seed: seed(n), at, by: AuditActor { person: None, name: "tester".into() }, source: "shell".into() }
}

pub(super) fn context(n: u32) -> AuditContext {
    at(n, NOW)
}

pub(super) fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub(super) fn name(text: &str) -> PersonName {
    PersonName::parse(text).unwrap()
}

pub(super) fn key_name(text: &str) -> KeyName {
    KeyName::parse(text).unwrap()
}

pub(super) fn phc(text: &str) -> PasswordHash {
    PasswordHash::new(text.to_owned())
}

pub(super) fn secret(n: u32) -> SecretHash {
    Secret::from_entropy(|bytes| bytes[..4].copy_from_slice(&n.to_be_bytes())).hash()
}

pub(super) fn session(n: u32) -> NewSession<'static> {
    NewSession { id: SessionId::new(seed(n)), secret: secret(n), browser: "A browser" }
}

pub(super) fn link(n: u32, purpose: &Purpose) -> NewLink<'_> {
    NewLink { id: LinkId::new(seed(n)), code: secret(n), purpose }
}

pub(super) struct Fixture {
    /// The first field: dropped while the database is still there.
    _plans: Plans,
    pub store: Store,
    pub database: TestDatabase,
    pub brand: Brand,
    pub team: Team,
    pub ada: Member,
}

impl Fixture {
    /// Uses the numbers 1 to 3.
    pub(super) async fn on(engine: Engine) -> Self {
        let database = TestDatabase::on(engine).await;
        let (store, brand, _) = Store::migrate_and_open(&database.location(), None).await.unwrap();
        let ada = email("Ada@example.com");
        let owner = NewMember { person: PersonId::new(seed(1)), email: &ada, name: name("Ada"), role: Role::Owner };
        let new = NewTeam { id: TeamId::new(seed(2)), name: &TeamName::parse("Acme").unwrap(), owner };
        let team = store.create_team(new, &context(3)).await.unwrap();
        let ada = store.queries().member(team.id, PersonId::new(seed(1))).await.unwrap().unwrap();
        let file = match database.location() {
            Location::Folder(folder) => Some(folder.join("keyhouse.db")),
            Location::Postgres(_) => None,
        };
        Self { _plans: Plans::of(file), store, database, brand, team, ada }
    }

    pub(super) fn queries(&self) -> &Queries {
        self.store.queries()
    }

    pub(super) fn key_admin(&self) -> KeyAdmin {
        KeyAdmin::shell("tester", self.team.id)
    }

    pub(super) fn team_admin(&self) -> TeamAdmin {
        TeamAdmin::shell("tester", self.team.id)
    }

    pub(super) fn owner(&self) -> TeamOwner {
        TeamOwner::shell("tester", self.team.id)
    }

    pub(super) async fn add(&self, n: u32, address: &str, role: Role) -> Member {
        let address = email(address);
        let new = NewMember { person: PersonId::new(seed(n)), email: &address, name: address.as_name(), role };
        self.store.add_member(self.team.id, new, &context(n + 1)).await.unwrap();
        self.queries().member_by_email(self.team.id, &address).await.unwrap().unwrap()
    }

    /// Another team of Ada's.
    pub(super) async fn other_team(&self, n: u32, text: &str) -> Team {
        let ada = self.ada.email.clone();
        let owner = NewMember { person: PersonId::new(seed(n)), email: &ada, name: ada.as_name(), role: Role::Owner };
        let new = NewTeam { id: TeamId::new(seed(n + 1)), name: &TeamName::parse(text).unwrap(), owner };
        self.store.create_team(new, &context(n + 2)).await.unwrap()
    }

    pub(super) fn token(&self, n: u32) -> RawToken {
        RawToken::from_entropy(&self.brand, Mode::Live, |bytes| bytes.fill(n as u8))
    }

    pub(super) fn record(&self, n: u32) -> ApiKey {
        ApiKey {
            id: KeyId::new(seed(n)),
            team: self.team.id,
            mode: Mode::Live,
            scope: Scope::ReadWrite,
            created_at: NOW,
            state: KeyState::Active,
            token: KeyToken {
                number: 1,
                prefix: self.token(n).prefix(),
                created_at: NOW,
                first_used_at: None,
                ends_at: None,
            },
            conditions: Conditions::default(),
            pause: None,
        }
    }

    pub(super) async fn try_key(&self, admin: &KeyAdmin, n: u32) -> Result<ApiKey, CreateKeyError> {
        let mut context = context(n);
        context.by = admin.actor().by();
        let key = self.record(n);
        let new = NewKey::new(key_name("Backend"), key.mode, key.scope);
        let row = NewKeyRow { key: &key, hash: self.token(n).hash(), new: &new };
        self.store.create_key(admin, row, &context).await.map(|()| key)
    }

    pub(super) async fn key(&self, n: u32) -> ApiKey {
        self.try_key(&self.key_admin(), n).await.unwrap()
    }

    pub(super) async fn actions(&self) -> Vec<Action> {
        let events = self.queries().audit_events(self.team.id, &AuditFilter::default(), None, 100).await.unwrap();
        events.into_iter().map(|event| event.action).collect()
    }
}

pub(super) fn grant(key: &ApiKey) -> Grant {
    key.grant(Access::Write, Ipv4Addr::LOCALHOST.into()).unwrap()
}

pub(super) fn product(n: u32, text: &str, sku: Option<&str>) -> Product {
    Product {
        id: ProductId::new(seed(n)),
        fields: ProductFields::new(ProductPatch {
            name: ProductName::parse(text.into()).ok(),
            unit_price: Price::parse("1.5").ok(),
            currency: Currency::parse("EUR").ok(),
            sku: Some(sku.map(|sku| Sku::parse(sku.into()).unwrap())),
            ..ProductPatch::default()
        })
        .unwrap(),
        status: Status::Active,
        created_at: NOW,
        updated_at: NOW,
    }
}
