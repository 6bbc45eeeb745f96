//! An error with all that led to it, on one line: what a connection broke by stands at the end of a chain of sources.

use std::error::Error;

/// The error's message and those of its sources, as far as it does not say them itself.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let said = source.to_string();
        if !text.contains(&said) {
            text += ": ";
            text += &said;
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("not connected: {0}")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("client error")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn what_is_said_already_is_not_said_again() {
        let refused = std::io::Error::other("refused");
        assert_eq!(
            causes(&Outer(Inner(refused))),
            "not connected: client error: refused"
        );
    }
}
