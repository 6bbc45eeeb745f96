//! The addresses that a text names: what a variable, an argument or a file of a container says whom to call.
//!
//! Such texts hold passwords too. A host and a port are all that is kept of them.

/// More addresses of one text are not kept.
const MOST_ADDRESSES: usize = 64;

/// The longest name that DNS has.
const LONGEST_HOST: usize = 253;

/// What stands between the words of a text that may name addresses.
const BETWEEN_WORDS: &[char] = &[
    '"', '\'', '`', '(', ')', '<', '>', '[', ']', '{', '}', ';', '|',
];

/// The ports of schemes whose URLs need not name one.
const PORTS: [(&str, u16); 14] = [
    ("amqp", 5672),
    ("amqps", 5671),
    ("http", 80),
    ("https", 443),
    ("ldap", 389),
    ("ldaps", 636),
    ("mongodb", 27017),
    ("mysql", 3306),
    ("nats", 4222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("redis", 6379),
    ("ws", 80),
    ("wss", 443),
];

/// A host that a text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its name, without the dot that may end it.
    pub host: String,
    /// The port, written or that of the scheme.
    pub port: Option<u16>,
    /// Whether the text is this one word, which may as well mean something else.
    pub is_word: bool,
}

/// What is kept of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The addresses that it names.
    pub addresses: Vec<Address>,
    /// The port that it is, where it is a number.
    pub number: Option<u16>,
}

impl Told {
    /// Reads a text.
    pub(super) fn new(text: &str) -> Self {
        let mut told = Self {
            number: text.trim().parse().ok(),
            ..Self::default()
        };
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.starts_with('#') && !line.starts_with("//"));
        let words = lines.flat_map(|line| {
            let words = line.split(|c: char| c.is_whitespace() || BETWEEN_WORDS.contains(&c));
            words.filter(|word| !word.is_empty())
        });
        for word in words {
            told.read(word, word.len() == text.trim().len());
            if told.addresses.len() >= MOST_ADDRESSES {
                break;
            }
        }
        told.addresses.truncate(MOST_ADDRESSES);
        told
    }

    /// Whether nothing of the text is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.number.is_none()
    }

    fn read(&mut self, word: &str, is_whole: bool) {
        let (scheme, rest) = match word.split_once("://") {
            Some((before, rest)) => (Some(scheme(before)), rest),
            None => (None, word.rsplit_once('=').map_or(word, |(_, value)| value)),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // A password that is not encoded can hold anything: what follows it is not told from a path.
        if path.contains('@') {
            return;
        }
        let hosts = match (authority.rsplit_once('@'), scheme) {
            (Some((_, hosts)), Some(_)) => hosts,
            (Some(_), None) => return,
            (None, _) => authority,
        };
        let default = scheme.and_then(|scheme| {
            let mut known = PORTS.iter();
            known.find(|(name, _)| *name == scheme)
        });
        let default = default.map(|(_, port)| *port);
        for written in hosts.split(',') {
            self.addresses
                .extend(address(written, scheme.is_some(), default, is_whole));
        }
    }
}

/// The scheme at the end of what stands before `://`: `postgresql` of `--url=jdbc:postgresql`.
fn scheme(before: &str) -> &str {
    let start = before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    start.map_or(before, |start| {
        let rest = before[start..].chars();
        rest.as_str()
            .strip_prefix(|_: char| true)
            .unwrap_or_default()
    })
}

fn address(
    written: &str,
    has_scheme: bool,
    default: Option<u16>,
    is_whole: bool,
) -> Option<Address> {
    let (host, port) = match written.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (written, default),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let names_a_service = host.split('.').skip(1).any(|label| label == "svc");
    let is_word = !has_scheme && port.is_none() && !names_a_service;
    (is_name(host) && (is_whole || !is_word)).then(|| Address {
        host: host.to_owned(),
        port,
        is_word,
    })
}

/// Whether a text can be the name of a host, and is no address.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(is_allowed)
    };
    host.len() <= LONGEST_HOST
        && host.split('.').all(is_label)
        && host.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && host.contains(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, Option<u16>)> {
        let told = Told::new(text).addresses.into_iter();
        told.map(|address| (address.host, address.port)).collect()
    }

    fn one(host: &str, port: u16) -> Vec<(String, Option<u16>)> {
        vec![(host.to_owned(), Some(port))]
    }

    #[test]
    fn urls_name_hosts_with_the_port_of_their_scheme() {
        assert_eq!(told("http://api/v1?x=y:1"), one("api", 80));
        assert_eq!(
            told("https://api.shop.svc.cluster.local:8443"),
            one("api.shop.svc.cluster.local", 8443)
        );
        assert_eq!(
            told("jdbc:postgresql://db.shop/orders"),
            one("db.shop", 5432)
        );
        assert_eq!(told("--store=redis://cache."), one("cache", 6379));
    }

    #[test]
    fn nothing_of_a_password_is_kept() {
        assert_eq!(
            told("postgres://shop:hunter2@db:5433/orders"),
            one("db", 5433)
        );
        assert_eq!(told("amqp://shop:hunter2@queue"), one("queue", 5672));
        for text in [
            "redis://:a/b@cache:6379",
            "redis://:a#b@cache",
            "hunter2@cache:1",
        ] {
            assert_eq!(told(text), [], "{text}");
        }
    }

    #[test]
    fn lists_commands_and_files_name_several() {
        let two = [("a".to_owned(), Some(9092)), ("b".to_owned(), Some(9093))];
        assert_eq!(told("a:9092,b:9093"), two);
        assert_eq!(told("until nc -z a:9092; do curl http://b:9093; done"), two);
        assert_eq!(
            told("# http://c\nupstream: a:9092\n  other: \"b:9093\"\n"),
            two
        );
        assert_eq!(told(&"a:1 ".repeat(1000)).len(), MOST_ADDRESSES);
    }

    #[test]
    fn a_word_is_told_from_an_address_and_a_number_from_both() {
        let word = &Told::new("db").addresses[0];
        assert!(word.is_word && word.port.is_none());
        assert!(!Told::new("db.shop.svc").addresses[0].is_word);
        assert_eq!(Told::new("5432").number, Some(5432));
        for text in [
            "10.0.0.1:80",
            "65536",
            "DB:1",
            "a b",
            "$(HOST):80",
            "",
            "a:b",
        ] {
            assert!(Told::new(text).is_empty(), "{text}");
        }
    }
}
