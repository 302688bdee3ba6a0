//! Digests of tokens, for gateways that verify keys themselves: the state of each token, and its changes.

use std::collections::VecDeque;

use data_encoding::HEXLOWER;
use serde::Serialize;

use super::App;
use keyhouse_domain::ids::TeamId;
use keyhouse_domain::timestamp::Timestamp;
use keyhouse_store::{ChangedToken, Position, StoreError};

/// Keys read in one statement.
const PAGE: u32 = 500;

/// A token that a gateway may meet. It admits calls while `active`, from `notBefore` on and until `expiresAt`, from any of
/// `addresses` or, if there are none, from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenDigest {
    /// `sha256:` and the digest of the whole token in hexadecimal.
    pub digest: String,
    /// The key's id.
    pub id: String,
    pub team: String,
    pub mode: &'static str,
    pub scope: &'static str,
    pub active: bool,
    /// When a pause ends by itself.
    pub not_before: Option<String>,
    /// When the key expires, or the former token of a rotated key ends.
    pub expires_at: Option<String>,
    pub addresses: Vec<String>,
}

/// Where a follower of the feed is, as it sends it to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    pub epoch: String,
    pub seq: i64,
}

impl FeedCursor {
    /// Reads a cursor as its `Display` writes it. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (epoch, seq) = text.rsplit_once('.')?;
        Some(Self { epoch: epoch.to_owned(), seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// What the feed reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedEvent {
    /// Everything that was reported before is void: the follower is new, or the database went back to an earlier state.
    Reset,
    /// A token, as it is now. The cursor is set on the last one of a change: only there a follower can resume.
    Token(Box<TokenDigest>, Option<FeedCursor>),
    /// Everything up to this position has been reported, and the database has just confirmed it.
    Alive(FeedCursor),
}

/// One follower's progress.
#[derive(Debug)]
pub struct DigestFeed {
    app: App,
    team: Option<TeamId>,
    cursor: Option<FeedCursor>,
    /// The last change when the feed began to send all tokens. A new follower needs none that had ended by then.
    skip_to: Option<i64>,
    events: VecDeque<FeedEvent>,
}

impl App {
    /// The tokens of a team that admit calls now or will do so by themselves.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read.
    pub async fn token_digests(&self, team: TeamId) -> Result<Vec<TokenDigest>, StoreError> {
        let now = self.clock.now();
        let mut since = 0;
        let mut all = Vec::new();
        loop {
            let page = self.queries().changed_tokens(Some(team), since, Some(i64::MAX), PAGE).await?;
            let Some(last) = page.last() else { return Ok(all) };
            since = last.seq;
            all.extend(page.iter().map(|token| digest(token, now)).filter(|digest| digest.active));
        }
    }

    /// A feed of the tokens of one team or of all, which continues after `cursor`.
    pub fn digest_feed(&self, team: Option<TeamId>, cursor: Option<FeedCursor>) -> DigestFeed {
        DigestFeed { app: self.clone(), team, cursor, skip_to: None, events: VecDeque::new() }
    }
}

impl DigestFeed {
    /// An event that was read and not taken yet.
    pub fn pop(&mut self) -> Option<FeedEvent> {
        self.events.pop_front()
    }

    /// Reads what has changed since the last call: [`DigestFeed::pop`] then has the changes, and [`FeedEvent::Alive`] once
    /// all were reported.
    ///
    /// # Errors
    ///
    /// Any [`StoreError`] of a read; nothing is lost by another call.
    pub async fn advance(&mut self) -> Result<(), StoreError> {
        let now = self.app.clock.now();
        let Position { epoch, seq } = self.app.queries().position().await?;
        let continues = self.cursor.as_ref().is_some_and(|cursor| cursor.epoch == epoch && cursor.seq <= seq);
        if !continues {
            self.events.push_back(FeedEvent::Reset);
            self.cursor = Some(FeedCursor { epoch: epoch.clone(), seq: 0 });
            self.skip_to = Some(seq);
        }
        let since = self.cursor.as_ref().map_or(0, |cursor| cursor.seq);
        if since < seq {
            let page = self.app.queries().changed_tokens(self.team, since, self.skip_to, PAGE).await?;
            let reached = page.last().map_or(seq, |last| last.seq);
            for (nth, token) in page.iter().enumerate() {
                let ends_change = page.get(nth + 1).is_none_or(|next| next.seq != token.seq);
                let cursor = ends_change.then(|| FeedCursor { epoch: epoch.clone(), seq: token.seq });
                self.events.push_back(FeedEvent::Token(Box::new(digest(token, now)), cursor));
            }
            self.cursor = Some(FeedCursor { epoch: epoch.clone(), seq: reached });
            if !page.is_empty() && reached < seq {
                return Ok(());
            }
        }
        let cursor = FeedCursor { epoch, seq };
        self.cursor = Some(cursor.clone());
        self.events.push_back(FeedEvent::Alive(cursor));
        Ok(())
    }
}

fn digest(token: &ChangedToken, now: Timestamp) -> TokenDigest {
    let key = &token.key;
    let pause = key.pause.filter(|pause| pause.lasts(now));
    let ends = [key.conditions.expires_at, key.token.ends_at];
    TokenDigest {
        digest: format!("sha256:{}", HEXLOWER.encode(token.hash.as_bytes())),
        id: key.id.to_string(),
        team: key.team.to_string(),
        mode: key.mode.as_str(),
        scope: key.scope.as_str(),
        // A pause without an end does not end by itself.
        active: key.is_active(now) && !key.token.has_ended(now) && pause.is_none_or(|pause| pause.until.is_some()),
        not_before: pause.and_then(|pause| pause.until).map(|until| until.to_string()),
        expires_at: ends.into_iter().flatten().min().map(|end| end.to_string()),
        addresses: key.conditions.allowed.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let cursor = FeedCursor { epoch: "a.b".to_owned(), seq: 42 };
        assert_eq!(FeedCursor::parse(&cursor.to_string()), Some(cursor));
        for text in ["", "42", "a.", "a.x"] {
            assert_eq!(FeedCursor::parse(text), None, "{text}");
        }
    }
}
