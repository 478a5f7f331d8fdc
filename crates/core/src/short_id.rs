//! Identifiers that people read to each other: `7K2P-9QXD-M4TC`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;

/// Crockford's base 32: no letter that could be taken for a digit (<https://www.crockford.com/base32.html>).
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of an id.
const LENGTH: usize = 12;
/// What of a random number an id keeps.
const MASK: u64 = (1 << 60) - 1;

macro_rules! short_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(u64);

        impl $name {
            /// From 64 random bits that the caller made, of which 60 count.
            pub const fn from_random(bits: u64) -> Self {
                Self(bits & MASK)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                write(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Takes what a person typed: any case, with or without hyphens, `O` for `0`, `I` and `L`
            /// for `1`.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let rest = match $prefix {
                    "" => Some(text),
                    prefix => text
                        .strip_prefix(prefix)
                        .or_else(|| text.strip_prefix(prefix.to_ascii_lowercase().as_str())),
                };
                rest.and_then(read).map(Self).ok_or_else(|| InvalidId::new(text))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

short_id! {
    /// One access request: a held request, or a grant that somebody asks for.
    AccessId, ""
}
short_id! {
    /// One grant.
    GrantId, "G-"
}

impl GrantId {
    /// The id of the grant that comes of an access request: the same characters, so that both are found
    /// by either.
    pub const fn of(access: AccessId) -> Self {
        Self(access.0)
    }
}

fn write(id: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for at in 0..LENGTH {
        if at > 0 && at % 4 == 0 {
            f.write_str("-")?;
        }
        let shift = 5 * (LENGTH - 1 - at);
        let digit = ALPHABET.get((id >> shift & 31) as usize).copied();
        write!(f, "{}", char::from(digit.unwrap_or(b'0')))?;
    }
    Ok(())
}

fn read(text: &str) -> Option<u64> {
    let mut id = 0_u64;
    let mut digits = 0;
    for c in text.chars().filter(|c| *c != '-').take(LENGTH + 1) {
        let plain = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        let value = ALPHABET.iter().position(|a| char::from(*a) == plain)?;
        id = id << 5 | value as u64;
        digits += 1;
    }
    (digits == LENGTH).then_some(id & MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_people_type_them() {
        let id = AccessId::from_random(0x0123_4567_89AB_CDEF);
        let text = id.to_string();
        assert_eq!(text.len(), 14);
        for typed in [text.clone(), text.to_lowercase(), text.replace('-', "")] {
            assert_eq!(typed.parse::<AccessId>().unwrap(), id, "{typed}");
        }
        let zero = AccessId::from_random(0);
        assert_eq!(zero.to_string(), "0000-0000-0000");
        assert_eq!("oooo-OOOO-0000".parse::<AccessId>().unwrap(), zero);
        for bad in [
            "",
            "7K2P",
            "0000-0000-000U",
            "0000-0000-00000",
            "0000-0000-000é",
        ] {
            assert!(bad.parse::<AccessId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_grant_is_not_taken_for_a_request() {
        let grant = GrantId::from_random(7);
        assert!(grant.to_string().starts_with("G-"));
        assert_eq!(grant.to_string().parse::<GrantId>().unwrap(), grant);
        assert_eq!(
            grant.to_string().to_lowercase().parse::<GrantId>().unwrap(),
            grant
        );
        assert!("0000-0000-0007".parse::<GrantId>().is_err());
        assert!(grant.to_string().parse::<AccessId>().is_err());
    }
}
