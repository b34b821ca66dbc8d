//! `redis://`: keys. The switch is on when one of them exists, whatever it holds; what it holds is told as the reason.
//!
//! One connection for asking and for news (RESP3, Redis 6 and later): it is subscribed to a channel by the name of each key,
//! on which `agentbox stop` publishes, and to the keyspace events of each key, which a server sends when it is told to
//! (`notify-keyspace-events K$gxe`). News only wakes; what counts is asked for. A server that knows neither is asked in each interval.

#![forbid(unsafe_code)]

use super::message::{By, Notice};
use super::peer::Peer;
use super::resp::{Value, command, parse};
use super::source::{Answer, Next, Patience, Said, Source};
use super::tls::Conn;
use crate::gate::message::Text;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

/// For how many seconds what is published stays: two days. It is written again in every hour, so what is older is of a host
/// that was switched off.
const KEPT: &str = "172800";

/// The most bytes that wait to be understood.
const MAX: usize = 256 * 1024;

/// Keys of a Redis.
pub(super) struct Redis {
    peer: Peer,
    user: Option<String>,
    db: u32,
    keys: Vec<String>,
    needs_token: bool,
    link: Option<Link>,
}

/// A connection that is logged in.
struct Link {
    conn: Conn,
    bytes: Vec<u8>,
    by: By,
    /// Something was told since it was last asked.
    news: bool,
}

impl Redis {
    pub(super) fn new(
        peer: Peer,
        user: Option<&str>,
        db: u32,
        keys: &[String],
        needs_token: bool,
    ) -> Redis {
        Redis {
            peer,
            user: user.map(str::to_owned),
            db,
            keys: keys.to_vec(),
            needs_token,
            link: None,
        }
    }

    /// Connects, and asks for news.
    fn connect(&self, until: Instant) -> Result<Link, String> {
        let (mut link, resp3) = self.log_in(until)?;
        if resp3 {
            self.subscribe(&mut link)?;
        }
        Ok(link)
    }

    /// Whether it speaks RESP3.
    fn log_in(&self, until: Instant) -> Result<(Link, bool), String> {
        let token = match self.needs_token {
            true => Some(self.peer.reader.token()?),
            false => None,
        };
        let mut link = Link {
            conn: self.peer.connect(until)?,
            bytes: Vec::new(),
            by: By::Asking,
            news: false,
        };
        link.conn.until(until);
        let user = self.user.as_deref().unwrap_or("default");
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(token) = &token {
            hello.extend([&b"AUTH"[..], user.as_bytes(), token.as_bytes()]);
        }
        let resp3 = match link.call(&hello)? {
            Value::Error(why) if why.starts_with("NOPROTO") || why.contains("unknown command") => {
                if let Some(token) = &token {
                    let mut auth: Vec<&[u8]> = vec![b"AUTH"];
                    auth.extend(self.user.as_deref().map(str::as_bytes));
                    auth.push(token.as_bytes());
                    link.done(&auth)?;
                }
                false
            }
            Value::Error(why) => return Err(said(&why)),
            _ => true,
        };
        if self.db != 0 {
            link.done(&[b"SELECT", self.db.to_string().as_bytes()])?;
        }
        Ok((link, resp3))
    }

    /// Asks for news. Who may not subscribe (an ACL) is asked in each interval.
    fn subscribe(&self, link: &mut Link) -> Result<(), String> {
        let mut channels: Vec<String> = self.keys.clone();
        channels.extend(
            self.keys
                .iter()
                .map(|key| format!("__keyspace@{}__:{key}", self.db)),
        );
        let mut words: Vec<&[u8]> = vec![b"SUBSCRIBE"];
        words.extend(channels.iter().map(|channel| channel.as_bytes()));
        link.send(&words)?;
        // Each channel is confirmed by a push; a refusal is one error.
        let mut left = channels.len();
        while left > 0 {
            match link.value()? {
                Value::Push(_) => left -= 1,
                Value::Error(why) if why.starts_with("NOPERM") => return Ok(()),
                Value::Error(why) => return Err(said(&why)),
                _ => return Err("not an answer of a Redis".to_owned()),
            }
        }
        link.by = By::Push;
        Ok(())
    }

    fn look(&self, link: &mut Link, until: Instant) -> Result<Answer, String> {
        link.conn.until(until);
        // What comes from here on may be newer than the answer.
        link.drain()?;
        link.conn.until(until);
        link.news = false;
        let keys: Vec<&[u8]> = self.keys.iter().map(|key| key.as_bytes()).collect();
        // Each by itself: in a cluster they may be in different slots.
        for key in &keys {
            match link.call(&[b"EXISTS", key])? {
                Value::Integer(0) => {}
                Value::Integer(_) => {
                    let notice = match link.call(&[b"GET", key])? {
                        Value::Text(bytes) => Notice::read(&bytes),
                        // It is gone again, or no string: it was there.
                        _ => Notice::default(),
                    };
                    return Ok(Answer {
                        said: Said::Stop(notice),
                        next: Next::Later,
                        by: link.by,
                    });
                }
                Value::Error(why) => return Err(said(&why)),
                _ => return Err("not an answer of a Redis".to_owned()),
            }
        }
        link.drain()?;
        Ok(Answer {
            said: Said::Clear,
            next: if link.news { Next::Now } else { Next::Later },
            by: link.by,
        })
    }
}

fn said(why: &str) -> String {
    format!("the Redis says {}", Text::of(why))
}

impl Link {
    fn send(&mut self, words: &[&[u8]]) -> Result<(), String> {
        let bytes = command(words);
        let sent = self.conn.write_all(&bytes).and_then(|()| self.conn.flush());
        sent.map_err(|e| e.to_string())
    }

    /// The next value, whatever it is.
    fn value(&mut self) -> Result<Value, String> {
        loop {
            match parse(&self.bytes) {
                Ok(Some((value, length))) => {
                    self.bytes.drain(..length);
                    return Ok(value);
                }
                Ok(None) if self.bytes.len() > MAX => return Err("it answers too much".to_owned()),
                Ok(None) => {}
                Err(_) => return Err("not an answer of a Redis".to_owned()),
            }
            match self.more() {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(_) => {}
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    fn more(&mut self) -> std::io::Result<usize> {
        let mut some = [0; 4096];
        let count = self.conn.read(&mut some)?;
        self.bytes
            .extend_from_slice(some.get(..count).unwrap_or_default());
        Ok(count)
    }

    /// The answer to a command. What is told in between is news.
    fn call(&mut self, words: &[&[u8]]) -> Result<Value, String> {
        self.send(words)?;
        loop {
            match self.value()? {
                Value::Push(_) => self.news = true,
                value => return Ok(value),
            }
        }
    }

    fn done(&mut self, words: &[&[u8]]) -> Result<(), String> {
        match self.call(words)? {
            Value::Error(why) => Err(said(&why)),
            _ => Ok(()),
        }
    }

    /// Takes what has come already, without waiting.
    fn drain(&mut self) -> Result<(), String> {
        self.conn.until(Instant::now());
        loop {
            match self.more() {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(_) if self.bytes.len() > MAX => return Err("it tells too much".to_owned()),
                Ok(_) => {}
                Err(e) if matches!(e.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => break,
                Err(e) => return Err(e.to_string()),
            }
        }
        loop {
            match parse(&self.bytes) {
                Ok(Some((value, length))) => {
                    self.bytes.drain(..length);
                    // An answer that nobody asked for would be taken for the next one's.
                    match value {
                        Value::Push(_) => self.news = true,
                        _ => return Err("an answer to no question".to_owned()),
                    }
                }
                Ok(None) => return Ok(()),
                Err(_) => return Err("not an answer of a Redis".to_owned()),
            }
        }
    }
}

impl Source for Redis {
    fn ask(&mut self, _: Patience, timeout: Duration) -> Result<Answer, String> {
        let until = Instant::now() + timeout;
        // One that was kept may have been closed meanwhile (a restart, `timeout` of its configuration): once anew.
        if let Some(mut link) = self.link.take()
            && let Ok(answer) = self.look(&mut link, until)
        {
            self.link = Some(link);
            return Ok(answer);
        }
        let mut link = self.connect(until)?;
        let answer = self.look(&mut link, until)?;
        self.link = Some(link);
        Ok(answer)
    }

    fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(|link| link.conn.as_fd())
    }

    fn publish(&mut self, to: &str, body: &str, until: Instant) -> Result<(), String> {
        let words = [
            b"SET",
            to.as_bytes(),
            body.as_bytes(),
            b"EX",
            KEPT.as_bytes(),
        ];
        if let Some(mut link) = self.link.take() {
            link.conn.until(until);
            if link.done(&words).is_ok() {
                self.link = Some(link);
                return Ok(());
            }
        }
        let (mut link, _) = self.log_in(until)?;
        link.conn.until(until);
        link.done(&words)?;
        self.link = Some(link);
        Ok(())
    }

    fn set(&mut self, to: Option<&str>, until: Instant) -> Result<(), String> {
        let mut link = self.connect(until)?;
        link.conn.until(until);
        let keys: Vec<&[u8]> = self.keys.iter().map(|key| key.as_bytes()).collect();
        match to {
            Some(text) => {
                for key in &keys {
                    link.done(&[b"SET", key, text.as_bytes()])?;
                }
            }
            None => {
                for key in &keys {
                    link.done(&[b"DEL", key])?;
                }
            }
        }
        for key in &keys {
            // Who may not publish has set the key all the same: it is found when it is asked for.
            let _ = link.call(&[b"PUBLISH", key, b"changed"])?;
        }
        Ok(())
    }
}
