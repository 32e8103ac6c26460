//! Names that may stand in YAML as they are, because they can only be names.

use std::str::FromStr;

use thiserror::Error;

/// A name that Kubernetes or a registry would refuse.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// No label of RFC 1123.
    #[error("a namespace has 1 to 63 of a-z, 0-9 and -, with neither end a -")]
    Label,
    /// No reference to an image.
    #[error(
        "an image is named by at most 512 of a-z, A-Z, 0-9 and ./:@_-, beginning with a letter or a digit"
    )]
    Image,
}

/// The name of a namespace: a label of RFC 1123.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A reference to a container image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image(String);

impl Name {
    /// As YAML has it, in quotes: a name of digits alone is a string too.
    pub(super) fn quoted(&self) -> &str {
        &self.0
    }
}

impl Image {
    /// As YAML has it, in quotes.
    pub(super) fn quoted(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_label = (1..=63).contains(&text.len())
            && text.chars().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_label { Ok(Self(format!("\"{text}\""))) } else { Err(NameError::Label) }
    }
}

impl FromStr for Image {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "./:@_-".contains(c);
        let is_image = (1..=512).contains(&text.len())
            && text.chars().all(inner)
            && text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if is_image { Ok(Self(format!("\"{text}\""))) } else { Err(NameError::Image) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "-a", "a-", "A", "a b", "a\nb", "a.b", "a\"", &"a".repeat(64)] {
            assert_eq!(text.parse::<Name>(), Err(NameError::Label), "{text}");
        }
        for text in ["", "-a", "a b", "a\n", "a#b", "a\"", &"a".repeat(513)] {
            assert_eq!(text.parse::<Image>(), Err(NameError::Image), "{text}");
        }
        assert_eq!("0123".parse::<Name>().unwrap().quoted(), "\"0123\"");
        assert!("ghcr.io/x/gotrace@sha256:00ff".parse::<Image>().is_ok());
    }
}
