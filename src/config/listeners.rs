//! Addresses: where the broker listens, and what it tells clients to connect to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::base::config_table::parse_list;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets. Empty: every address.
    pub host: String,
    /// The port; 0: any that is free.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `host`, `:port`, `[v6]:port`, `[v6]` or an IPv6 address alone.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, default_port: u16) -> Result<HostPort, String> {
        let (host, port) = split_port(text)?;
        let port = match port {
            None => default_port,
            Some(digits) => digits.parse().map_err(|_| format!("{digits:?} is not a port"))?,
        };
        if host.chars().any(|c| c.is_whitespace() || c.is_control() || "/@,".contains(c)) {
            return Err(format!("{host:?} is not a host"));
        }
        Ok(HostPort { host: host.to_owned(), port })
    }

    /// Whether it means every address of the machine, and so none that a client could use.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        let unspecified = |address: IpAddr| address.is_unspecified();
        self.host.is_empty() || self.host.parse().is_ok_and(unspecified)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(format!("{text:?} lacks its ]"))?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("{host:?} is not an IPv6 address"))?;
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((host, None)),
            (_, Some(port)) => Ok((host, Some(port))),
            _ => Err(format!("{text:?} has something other than a port after its ]")),
        };
    }
    // `::1:9092` is an address, too, but hardly the one that is meant.
    if let Some((host, port)) = text.rsplit_once(':')
        && host.parse::<Ipv6Addr>().is_ok()
        && port.parse::<u16>().is_ok()
    {
        return Err(format!(
            "{text:?} lacks brackets: with a port it is [{host}]:{port}, without one [{text}]"
        ));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, port)) if port.contains(':') => {
            Err(format!("{text:?} has more than one colon (an IPv6 address stands in brackets)"))
        }
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// Where the broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, in capitals: `PLAINTEXT`, or the user's choice.
    pub name: String,
    /// Where.
    pub address: HostPort,
    /// What clients are told.
    pub advertised: Advertised,
}

/// What clients that came by a listener are told to connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The host. `None`: the address by which the client came.
    pub host: Option<String>,
    /// The port. `None`: the one that the listener has.
    pub port: Option<u16>,
}

/// The values of the keys that make up the listeners.
#[derive(Debug)]
pub struct ListenerKeys<'a> {
    /// `listeners`.
    pub listeners: &'a str,
    /// `advertised.listeners`.
    pub advertised: Option<&'a str>,
    /// `listener.security.protocol.map`.
    pub protocols: &'a str,
    /// `controller.listener.names`.
    pub controllers: &'a str,
}

impl ListenerKeys<'_> {
    /// The listeners that serve clients.
    ///
    /// # Errors
    /// The key and the reason.
    pub fn resolve(&self) -> Result<Vec<Listener>, String> {
        let listeners = self.named(self.listeners, "PLAINTEXT", 9092);
        let listeners = listeners.map_err(|reason| format!("listeners: {reason}"))?;
        if listeners.is_empty() {
            return Err("listeners: there is none for clients".to_owned());
        }
        for (name, _) in &listeners {
            self.check_protocol(name)?;
        }
        let advertised = self.named(self.advertised.unwrap_or_default(), "", 0);
        pair(listeners, advertised.map_err(|reason| format!("advertised.listeners: {reason}"))?)
    }

    /// The addresses of a list, but for those of the quorum, each with its name.
    fn named(
        &self,
        list: &str,
        default_name: &str,
        default_port: u16,
    ) -> Result<Vec<(String, HostPort)>, String> {
        let quorum = parse_list(self.controllers);
        let mut named = Vec::new();
        for text in parse_list(list) {
            if text.is_empty() {
                return Err("an address is missing".to_owned());
            }
            let (name, address) = text.split_once("://").unwrap_or((default_name, text));
            if !quorum.iter().any(|controller| controller.eq_ignore_ascii_case(name)) {
                named.push((name.to_ascii_uppercase(), HostPort::parse(address, default_port)?));
            }
        }
        Ok(named)
    }

    fn check_protocol(&self, name: &str) -> Result<(), String> {
        let mut pairs = parse_list(self.protocols).into_iter().filter_map(|p| p.split_once(':'));
        match pairs.find(|(listener, _)| listener.eq_ignore_ascii_case(name)) {
            None => Err(format!("listeners: {name} is not in listener.security.protocol.map")),
            Some((_, "PLAINTEXT")) => Ok(()),
            Some((_, other)) => {
                Err(format!("listeners: {name} asks for {other}, which is not served"))
            }
        }
    }
}

/// Gives each listener the advertised address of its name, or the next without a name.
fn pair(
    listeners: Vec<(String, HostPort)>,
    mut advertised: Vec<(String, HostPort)>,
) -> Result<Vec<Listener>, String> {
    let mut paired = Vec::new();
    for (name, address) in listeners {
        let told = match advertised.iter().position(|(of, _)| *of == name || of.is_empty()) {
            Some(index) => advertised.remove(index).1,
            None => HostPort { host: address.host.clone(), port: 0 },
        };
        let host = (!told.is_wildcard()).then_some(told.host);
        let port = (told.port != 0).then_some(told.port);
        paired.push(Listener { name, address, advertised: Advertised { host, port } });
    }
    match advertised.first() {
        None => Ok(paired),
        Some((name, _)) => Err(format!("advertised.listeners: there is no listener {name} left")),
    }
}
