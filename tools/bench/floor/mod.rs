//! Floors: servers that answer like a broker and do only what a broker cannot leave out.
//!
//! `chronik-bench floor NAME --dir DIR` binds a port of 127.0.0.1, prints `listening on ADDRESS` and serves until it is
//! killed.

use std::net::TcpListener;

/// Serves as the floor that the first argument names.
///
/// # Errors
/// For a name that no floor has, and for what the system refuses.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let name = args.first().map_or("", String::as_str);
    let _ = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Err(format!("no floor is called {name:?}"))
}
