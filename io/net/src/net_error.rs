//! What reqwest says, in the words of the seam.

use std::{error::Error, io};

use lockstep_io::NetError;

/// Why an exchange failed; never names a URL.
pub(crate) fn net_error(error: reqwest::Error) -> NetError {
    let error = error.without_url();
    let text = chain_text(&error);
    if error.is_dns() {
        NetError::Dns(text)
    } else if is_tls(&error) {
        NetError::Tls(text)
    } else if error.is_connect() {
        NetError::Connect(text)
    } else {
        NetError::Reset(text)
    }
}

/// What lies below an error. An [`io::Error`] shows what it wraps only by `get_ref`.
fn below<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(Some(error as &(dyn Error + 'static)), |error| below(*error))
}

fn is_tls(error: &reqwest::Error) -> bool {
    chain(error).any(|error| error.is::<rustls::Error>())
}

/// Every message of the chain, from the outside in, none twice in a row.
fn chain_text(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    for text in chain(error).map(ToString::to_string) {
        match texts.last() {
            // Some errors print what they wrap.
            Some(last) if last.contains(&text) => {}
            Some(_) | None => texts.push(text),
        }
    }
    texts.join(": ")
}
